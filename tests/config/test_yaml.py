"""Configuration files: what YAML must not do to them, and the limits on what they may cost."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanogen_core.config import load_config, resolve
from nanogen_core.errors import ConfigError, shown
from nanogen_files import yaml_files
from nanogen_files.errors import MISTAKES

LETTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | st.text(LETTERS),
    lambda inside: st.lists(inside, max_size=4) | st.dictionaries(st.text(LETTERS, max_size=5), inside, max_size=4),
    max_leaves=20,
)


@given(PLAIN)
def test_what_is_written_is_read_again(value):
    assert yaml_files.parse(yaml_files.dump({"x": value}), "test") == {"x": value}


@pytest.mark.parametrize(
    "text",
    [
        "1e3",
        "1e-3",
        "010",
        "1:30",
        "0x1f",
        "2024-01-01",
        "no",
        "~",
        "",
        " a ",
        "a: b",
        "\u2028",
        "\x85",
        "1_0",
        "a\x85b\r\nc\u2029",
    ],
)
def test_a_text_stays_a_text_in_a_saved_configuration(text):
    assert yaml_files.parse(yaml_files.dump({"path": text}), "test") == {"path": text}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1.5e3", 1500.0),
        (".5", 0.5),
        ("-7", -7),
        ("1_000", 1000),
        ("0x1F", 31),
        (".inf", math.inf),
        ("true", True),
        ("null", None),
        ("010", "010"),
        ("1:30", "1:30"),
        ("1:30.5", "1:30.5"),
        ("2024-01-01", "2024-01-01"),
        ("2024-13-45", "2024-13-45"),
        ("=", "="),
        ("'7'", "7"),
    ],
)
def test_a_value_is_no_other_than_it_looks(text, value):
    found = yaml_files.parse(f"x: {text}", "test")["x"]
    assert (found, type(found)) == (value, type(value))


def bomb(width=10, depth=9):
    """Billions of values in a few hundred bytes."""
    lines = ["a0: &a0 x"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * width)}]" for n in range(1, depth + 1)]
    return "\n".join(lines)


MERGES = "\n".join(
    ["a0: &a0 {x: 1}", *(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}], y{n}: 1}}" for n in range(1, 9))]
)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (bomb(), "has more than 100,000 values with aliases expanded"),
        (MERGES, "has more than 100,000 values with aliases expanded"),
        ("? [1]\n: x\n" + bomb(), "the key (a list or a mapping) is not a string"),
        ("a: &a [*a]", "a value contains itself"),
        ("a: &a {b: *a}", "a value contains itself"),
        ("a: " + "[" * 1000 + "]" * 1000, "lists and mappings are nested more than 50 levels deep"),
        ("a: " + "[" * 100_000, "lists and mappings are nested more than 50 levels deep"),
        ("a: " + "{b: " * 1000 + "}" * 1000, "lists and mappings are nested more than 50 levels deep"),
        ("\n".join("  " * n + "a:" for n in range(500)), "lists and mappings are nested more than 50 levels deep"),
        ("a: " + "x" * 600_000, "is too long for a configuration file: more than 500,000 characters"),
        ("a: " + "9" * 5000, "contains a value that cannot be read: Exceeds the limit"),
        ("1: x", "the key '1' is not a string: quote it"),
        ("no: x", "the key 'no' is not a string: quote it"),
        ("dataset: {2024: x}", "the key '2024' is not a string: quote it"),
        ("? [a, b]\n: x", "the key (a list or a mapping) is not a string"),
        ("a: 1\na: 2", "key 'a' occurs twice"),
        (f"{'k' * 1000}: 1\n{'k' * 1000}: 2", "occurs twice"),
        ("a: !!binary aGk=", "the tag 'tag:yaml.org,2002:binary' is not supported"),
        ("a: !!set {b}", "the tag 'tag:yaml.org,2002:set' is not supported"),
        ("a: !!timestamp 2024-01-01", "the tag 'tag:yaml.org,2002:timestamp' is not supported"),
        ("a: !!python/object:os.system {}", "is not supported"),
        ("a: !!int x", "contains a value that cannot be read"),
        ("a: !!float x", "contains a value that cannot be read"),
        ("a: \x07", "cannot be read as YAML"),
        ("a: [", "cannot be read as YAML (line 1"),
        ("a: *nowhere", "found undefined alias"),
        ("a: 1\n---\na: 2", "expected a single document"),
        ("- a", "contains a value of type list. Write a mapping such as `task: t2i`"),
        ("", "is empty. Write a mapping such as `task: t2i`"),
        ("5", "contains a value of type int. Write a mapping such as `task: t2i`"),
    ],
    ids=lambda value: value[:30],
)
def test_a_file_that_is_no_configuration_is_refused_at_once(tmp_path, text, sentence):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert sentence in str(caught.value)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 500 + len(str(path))


def test_a_merge_key_brings_what_is_not_written_beside_it(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("a: &a {x: 1, y: 1e-3}\nb: &b {z: 0}\nc: {<<: [*a, *b], y: 2}")
    assert load_config(path) == {"a": {"x": 1, "y": 0.001}, "b": {"z": 0}, "c": {"x": 1, "y": 2, "z": 0}}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_byte_order_mark_says_the_encoding(tmp_path, encoding):
    (tmp_path / "config.yaml").write_text("task: t2i\nx: \u4f60", encoding=encoding)
    assert load_config(tmp_path / "config.yaml") == {"task": "t2i", "x": "\u4f60"}


def test_other_bytes_are_refused(tmp_path):
    (tmp_path / "config.yaml").write_bytes("x: é".encode("latin-1"))
    with pytest.raises(ConfigError, match="Cannot read the configuration .*: it is not UTF-8"):
        load_config(tmp_path / "config.yaml")


def test_a_device_without_end_is_no_configuration():
    with pytest.raises(ConfigError, match="/dev/zero"):
        load_config("/dev/zero")


class Watched(list):
    """A list that counts how often its items or its text are asked for."""

    asked = 0

    def __iter__(self):
        Watched.asked += 1
        return super().__iter__()

    def __repr__(self):
        Watched.asked += 1
        return super().__repr__()


def test_an_error_never_walks_the_value_that_it_shows(small, monkeypatch):
    """The full `repr` of the value has 10^60 parts. Errors cut nested values off."""
    value = ["x"]
    for _ in range(60):
        value = Watched([value] * 10)
    monkeypatch.setattr(Watched, "asked", 0)
    assert len(shown(value)) <= 100
    for key in ("backbone", "guidance", "train", "seed", "optimizer"):
        with pytest.raises(ConfigError) as caught:
            resolve({**small, key: {"lr": value} if key == "optimizer" else value})
        lines = str(caught.value).splitlines()
        assert len(lines) <= MISTAKES + 2
        assert max(map(len, lines)) < 400  # the sentence with the names of all methods, and 100 characters of the value
    assert Watched.asked < 1000


LONG = [10**5000, -(10**5000), "x" * 10**6, b"x" * 10**6, {"k" * 1000: 1}, [[[[[[1]]]]]], object()]


@pytest.mark.parametrize("value", LONG, ids=range(len(LONG)))
def test_a_value_is_shown_in_a_hundred_characters(value):
    assert len(shown(value)) <= 100
    assert "\n" not in shown(value)
