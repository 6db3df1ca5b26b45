"""Hashes of files and folders: those of sha256sum, the same wherever a folder lies, never those of an older content."""

import hashlib
import os
import time

import pytest

from nanogen_core.errors import DataError
from nanogen_files import hashing
from tests.unlistable import refuse_to_list


def filled(folder, **files):
    for name, text in files.items():
        place = folder / name.replace("__", "/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    return folder


def test_a_file_has_the_hash_of_sha256sum(tmp_path):
    (tmp_path / "empty").write_bytes(b"")
    assert hashing.file_hash(tmp_path / "empty") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_a_folder_has_the_hash_of_its_names_and_contents_wherever_it_lies(tmp_path):
    first = filled(tmp_path / "first", b="2", a__c="1")
    second = filled(tmp_path / "deep" / "second", a__c="1", b="2")
    lines = "".join(f"{name}\t{hashlib.sha256(text).hexdigest()}\n" for name, text in [("a/c", b"1"), ("b", b"2")])
    assert hashing.content_hash(first) == hashing.content_hash(second) == hashlib.sha256(lines.encode()).hexdigest()


@pytest.mark.parametrize("change", ["content", "name", "more", "place"])
def test_whatever_changes_in_a_folder_changes_its_hash(tmp_path, change):
    folder = filled(tmp_path, b="2", a__c="1")
    before = hashing.content_hash(folder)
    if change == "content":
        (folder / "a" / "c").write_text("3")  # as long as before, and at once
    elif change == "name":
        (folder / "b").rename(folder / "d")
    elif change == "more":
        (folder / "e").write_text("")
    else:
        (folder / "b").rename(folder / "a" / "b")
    assert hashing.content_hash(folder) != before


def test_hidden_files_do_not_count_and_circles_of_links_end(tmp_path):
    folder = filled(tmp_path / "folder", b="2")
    before = hashing.content_hash(folder)
    filled(folder, **{".hidden": "x", ".git__config": "y"})
    (folder / "circle").symlink_to(folder)
    assert hashing.content_hash(folder) == before
    other = filled(tmp_path / "other", c="3")
    (folder / "linked").symlink_to(other)
    assert hashing.content_hash(folder) != before


def test_each_name_of_a_linked_folder_counts_in_any_order_of_the_disk(tmp_path):
    """The order in which the disk lists entries must not change the hash."""
    folder = filled(tmp_path, a__x="1", b__y="2")
    (folder / "a" / "to-b").symlink_to(folder / "b")
    (folder / "b" / "to-a").symlink_to(folder / "a")
    (folder / "c").symlink_to(folder / "a")
    files = {file.relative_to(folder).as_posix() for file in hashing.files_below(folder)}
    assert files == {"a/x", "a/to-b/y", "b/y", "b/to-a/x", "c/x", "c/to-b/y"}


def test_links_that_lead_nowhere_and_pipes_do_not_count(tmp_path):
    folder = filled(tmp_path, b="2")
    before = hashing.content_hash(folder)
    (folder / "gone").symlink_to(folder / "nothing")
    (folder / "loop").symlink_to(folder / "loop")
    os.mkfifo(folder / "pipe")
    assert hashing.content_hash(folder) == before


def test_a_folder_that_may_not_be_listed_has_no_hash(tmp_path, monkeypatch):
    folder = filled(tmp_path, a="1", deep__secret__b="2")
    refuse_to_list("secret", monkeypatch)
    with pytest.raises(DataError, match=r"deep/secret cannot be read: permission denied"):
        hashing.content_hash(folder)


def test_a_file_is_read_once_and_again_when_it_changed(tmp_path, monkeypatch):
    reads = []
    monkeypatch.setattr(hashing, "_hashed", lambda file: reads.append(file) or file.read_text())
    file = tmp_path / "file"
    for text in ("1", "2"):
        file.write_text(text)
        os.utime(file, ns=(0, int((time.time() - 100 + int(text)) * 1e9)))
        assert [hashing.file_hash(file) for _ in range(3)] == [text] * 3
    assert len(reads) == 2
    file.write_text("3")  # of this moment: another change might not move its time
    assert [hashing.file_hash(file) for _ in range(3)] == ["3"] * 3
    assert len(reads) == 5


def test_what_is_not_there_is_a_sentence(tmp_path):
    with pytest.raises(DataError, match="nothing cannot be read: No such file"):
        hashing.content_hash(tmp_path / "nothing")


# -- a sample of many files -------------------------------------------------------------------------------------------


def test_a_sample_of_few_files_is_all_of_their_bytes_wherever_they_lie(tmp_path):
    first, second = (filled(tmp_path / name, a="1", b__c="22") for name in ("first", "elsewhere"))
    files = [first / "a", first / "b" / "c"]
    digests = {name: hashlib.sha256(name.encode()).digest() for name in ("a", "b/c")}
    texts = {"a": b"1", "b/c": b"22"}
    joined = b"".join(texts[name] for name in sorted(texts, key=digests.get))
    assert hashing.sample_hash(files) == hashlib.sha256(joined).hexdigest()
    assert hashing.sample_hash([second / "b" / "c", second / "a"]) == hashing.sample_hash(files)
    (second / "a").write_text("2")
    assert hashing.sample_hash([second / "a", second / "b" / "c"]) != hashing.sample_hash(files)


@pytest.mark.parametrize("place", [0, 700_000, (3 << 20) - 1])
def test_pieces_of_a_large_file_reach_over_all_of_it(tmp_path, place):
    """The pieces of 64 KiB of 3 MiB begin at multiples of 205,400 bytes and more."""
    file = tmp_path / "large"
    content = bytearray(3 << 20)
    file.write_bytes(content)
    before = hashing.sample_hash([file])
    start = min(range(16), key=lambda piece: abs((len(content) - 65536) * piece // 15 - place))
    place = place if place in (0, len(content) - 1) else (len(content) - 65536) * start // 15
    content[place] ^= 1
    file.write_bytes(content)
    assert hashing.sample_hash([file]) != before


def test_a_sample_stops_at_its_limit(tmp_path, monkeypatch):
    files = [filled(tmp_path, **{f"f{number}": "x" * 100}) / f"f{number}" for number in range(20)]
    monkeypatch.setattr(hashing, "SAMPLED", 1000)
    before, noticed = hashing.sample_hash(files), 0
    for file in files:
        file.write_text("y" * 100)
        noticed += hashing.sample_hash(files) != before
        file.write_text("x" * 100)
    assert noticed == 10


def test_a_sample_passes_over_what_cannot_be_read(tmp_path):
    """They are bad examples, which are counted. A pipe that nobody writes into would wait for ever."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "whole").write_text("x")
    files = [tmp_path / name for name in ("pipe", "gone", "whole")]
    assert hashing.sample_hash(files) == hashlib.sha256(b"x").hexdigest()
