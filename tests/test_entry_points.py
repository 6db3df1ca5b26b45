"""Reading entry points, compared with importlib.metadata."""

import importlib.metadata
import sys
from importlib.machinery import PathFinder
from zipfile import ZipFile

import pytest

from nanogen_files.entry_points import entry_points

GROUP = "some.group"


def install(place, name, points, version="1.0", folder="{}-{}.dist-info", metadata="METADATA"):
    """Write the metadata of a distribution."""
    home = place / folder.format(name, version)
    home.mkdir(parents=True)
    (home / metadata).write_text(
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\nName: of something in the README\n",
        encoding="utf-8",
    )
    if points is not None:
        (home / "entry_points.txt").write_text(points, encoding="utf-8")


def section(*lines, group=GROUP):
    return "\n".join([f"[{group}]", *lines, ""])


def expected():
    """What importlib.metadata finds."""
    found = importlib.metadata.entry_points(group=GROUP)
    return sorted((p.dist.metadata["Name"], p.dist.version, p.name, p.value) for p in found)


@pytest.fixture
def places(tmp_path, monkeypatch):
    """Two folders that come first on `sys.path`."""
    found = tmp_path / "first", tmp_path / "second"
    for place in found:
        place.mkdir()
    monkeypatch.setattr(sys, "path", [*map(str, found), *sys.path])
    return found


def test_all_groups_of_this_environment_are_read_as_by_importlib():
    groups = {point.group for d in importlib.metadata.distributions() for point in d.entry_points}
    assert {"nanogen", "console_scripts"} <= groups
    for group in groups:
        points = importlib.metadata.entry_points(group=group)
        known = sorted((p.dist.metadata["Name"], p.dist.version, p.name, p.value) for p in points)
        assert [tuple(point) for point in entry_points(group)] == known


def test_the_order_does_not_depend_on_the_disk(places):
    for name in "cab":
        install(places[name == "a"], name, section("z = z", "y = y"))
    assert [(p.distribution, p.name) for p in entry_points(GROUP)] == [(d, n) for d in "abc" for n in "yz"]


@pytest.mark.parametrize(
    ("first", "second"), [("one.two", "one_two"), ("One", "one"), ("one", "one")], ids=["spelling", "case", "same"]
)
@pytest.mark.parametrize("points", [section("a = first"), section("a = x", group="other"), None])
def test_the_first_of_equal_distributions_counts(places, first, second, points):
    install(places[0], first, points)
    install(places[1], second, section("a = second"), version="2.0")
    assert [tuple(point) for point in entry_points(GROUP)] == expected()
    assert "second" not in [point.value for point in entry_points(GROUP)]


@pytest.mark.parametrize(
    "text",
    [
        section("# a comment", "", " a  =  b:c [extra] ", "d=e"),
        section("a = b", group="other") + section("c = d"),
        section("c = d") + section("a = b", group="other"),
        f"[other]\na = {GROUP}\n",
        "",
    ],
)
def test_the_file_is_parsed_as_by_importlib(places, text):
    install(places[0], "one", text)
    assert [tuple(point) for point in entry_points(GROUP)] == expected()


def test_metadata_of_setuptools_is_read(places, monkeypatch):
    install(places[0], "one", section("a = b"), folder="{}.egg-info", metadata="PKG-INFO")
    egg = places[1] / "two-1.0-py3.11.egg"
    install(egg, "two", section("c = d"), folder="EGG-INFO", metadata="PKG-INFO")
    monkeypatch.setattr(sys, "path", [str(egg), *sys.path])
    (places[1] / "three.egg-info").write_text("Name: three", encoding="utf-8")  # a file, as distutils wrote it
    assert [point.name for point in entry_points(GROUP)] == ["a", "c"]
    assert [tuple(point) for point in entry_points(GROUP)] == expected()


def test_an_archive_on_the_path_is_read(places, tmp_path, monkeypatch):
    install(places[0], "one", section("a = b"))
    archive = tmp_path / "bundle.zip"
    with ZipFile(archive, "w") as file:
        file.writestr("two-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: two\nVersion: 1.0\n")
        file.writestr("two-1.0.dist-info/entry_points.txt", section("c = d"))
    monkeypatch.setattr(sys, "path", [str(archive), *sys.path])
    assert [point.distribution for point in entry_points(GROUP)] == ["one", "two"]


def test_distributions_of_another_finder_are_read(places, tmp_path, monkeypatch):
    """Some editable installs bring a finder of their own."""
    install(tmp_path / "elsewhere", "far", section("a = b"))

    class Finder(PathFinder):
        @classmethod
        def find_distributions(cls, context):
            context = importlib.metadata.DistributionFinder.Context(path=[str(tmp_path / "elsewhere")])
            return PathFinder.find_distributions(context)

    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder])
    assert [point.distribution for point in entry_points(GROUP)] == ["far"]


def test_what_cannot_be_read_is_passed_over(places, tmp_path, monkeypatch):
    install(places[0], "one", section("a = b"))
    install(places[0], "two", None)
    (places[0] / "two-1.0.dist-info" / "entry_points.txt").mkdir()
    install(places[0], "three", None)
    (places[0] / "three-1.0.dist-info" / "entry_points.txt").write_bytes(b"[other]\nc = \xff\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path / "absent"), *sys.path])
    assert [tuple(point) for point in entry_points(GROUP)] == [("one", "1.0", "a", "b")]


@pytest.mark.parametrize("value", ["os.path", "os.path:join", "os : path.join", "os:path.join [x]"])
def test_references_are_loaded_as_by_importlib(places, value):
    install(places[0], "one", section(f"a = {value}"))
    (point,) = entry_points(GROUP)
    (other,) = importlib.metadata.entry_points(group=GROUP)
    assert point.load() is other.load()
