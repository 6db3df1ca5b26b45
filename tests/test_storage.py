"""Files are whole or not there, carry their hash, follow the umask, and nobody else's are deleted."""

import json
import os
import stat
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from nanogen_core.errors import DataError
from nanogen_eval.sources.archive import Archive
from nanogen_files import hashing, storage, weights
from tests.unlistable import refuse_to_list

TENSORS = {"b": torch.arange(6.0).reshape(2, 3), "a": torch.tensor([True, False]), "half": torch.ones(3).bfloat16()}


@pytest.fixture(params=[0o077, 0o022, 0o002])
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_files_and_folders_follow_the_umask(tmp_path, umask):
    storage.write_text(tmp_path / "file", "x")
    with storage.whole_folder(tmp_path / "folder") as folder:
        (folder / "inside").write_text("x")
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o666 & ~umask
    assert stat.S_IMODE((tmp_path / "folder").stat().st_mode) == 0o777 & ~umask


def test_tensors_come_back_as_they_were_and_other_programs_read_them(tmp_path):
    path = tmp_path / "t.safetensors"
    storage.write_tensors(path, {**TENSORS, "none": torch.empty(0, 2), "one": torch.tensor(3)})
    for found in (storage.read_tensors(path), load_file(path)):
        assert {name: tuple(value.shape) for name, value in found.items()} == {
            "a": (2,),
            "b": (2, 3),
            "half": (3,),
            "none": (0, 2),
            "one": (),
        }
        assert all(torch.equal(found[name], value) for name, value in TENSORS.items())


def test_the_hash_is_that_of_names_types_shapes_and_bytes(tmp_path):
    storage.write_tensors(tmp_path / "t.safetensors", {"b": TENSORS["b"], "a": TENSORS["a"]})
    total = sha256(b"a torch.bool (2,)\n\x01\x00" + b"b torch.float32 (2, 3)\n" + TENSORS["b"].numpy().tobytes())
    with safe_open(tmp_path / "t.safetensors", "pt") as file:
        assert file.metadata() == {"sha256": total.hexdigest()}


def test_equal_tensors_give_equal_files(tmp_path):
    for name, tensors in (("1", TENSORS), ("2", dict(reversed(TENSORS.items())))):
        storage.write_tensors(tmp_path / name, tensors)
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


def test_every_flipped_byte_of_the_tensors_is_found(tmp_path):
    """All bytes of the data, and those of the names, types and places in the header."""
    path = tmp_path / "t.safetensors"
    storage.write_tensors(path, TENSORS)
    whole = path.read_bytes()
    length = int.from_bytes(whole[:8], "little")
    header = whole[8 : 8 + length].rstrip()
    missed = []
    for place in [*range(8 + len(header)), *range(8 + length, len(whole))]:
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        try:
            found = storage.read_tensors(path)
        except DataError:
            continue
        if {name: value.tolist() for name, value in found.items()} != {n: v.tolist() for n, v in TENSORS.items()}:
            missed.append(place)
    assert missed == []


def test_a_file_of_another_program_has_no_hash_and_is_read(tmp_path):
    save_file(TENSORS, tmp_path / "t.safetensors")
    assert storage.read_tensors(tmp_path / "t.safetensors").keys() == TENSORS.keys()


def test_a_missing_file_and_one_that_may_not_be_read_are_not_called_damaged(tmp_path, monkeypatch):
    for read in (storage.read_json, storage.read_tensors):
        with pytest.raises(DataError, match="nothing cannot be read: the file does not exist"):
            read(tmp_path / "nothing")
        with pytest.raises(DataError, match="cannot be read: it is a folder"):
            read(tmp_path)

    def denied(path, flags):
        raise PermissionError(13, "Permission denied", path)

    (tmp_path / "file").write_text("{}")
    monkeypatch.setattr("nanogen_files.reading._open_nonblocking", denied)
    for read in (storage.read_json, storage.read_tensors):
        with pytest.raises(DataError, match="file cannot be read: permission denied for this user"):
            read(tmp_path / "file")


# -- nothing of somebody else is deleted -------------------------------------------------------------------------------


def filled(folder, names=("a", "deep/b")):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)


def written(path, names=("a", "deep/b")):
    with storage.whole_folder(path) as folder:
        filled(folder, names)
        storage.write_json(folder / "manifest.json", {name: {} for name in names})


def test_a_sweep_takes_only_what_a_killed_write_left(tmp_path):
    filled(tmp_path, [".notes.tmp", ".a.0123456789abcdef.tmp", ".mine/x.tmp", ".x.nanogen-tmp"])
    left = storage.begin_folder(tmp_path / "folder")
    filled(left)
    (tmp_path / "outside").mkdir()
    filled(tmp_path / "outside")
    (left / "link").symlink_to(tmp_path / "outside")
    storage.temporary_name(tmp_path / "file").write_text("half")
    storage.sweep(tmp_path)
    found = sorted(file.relative_to(tmp_path).as_posix() for file in tmp_path.rglob("*") if file.is_file())
    assert found == [".a.0123456789abcdef.tmp", ".mine/x.tmp", ".notes.tmp", ".x.nanogen-tmp", *OUTSIDE]


OUTSIDE = ["outside/a", "outside/deep/b"]


def test_a_folder_that_was_written_is_removed(tmp_path):
    written(tmp_path / "folder")
    assert storage.remove_folder(tmp_path / "folder")
    assert list(tmp_path.iterdir()) == []
    assert storage.remove_folder(tmp_path / "folder")


@pytest.mark.parametrize("name", ["mine.txt", "deep/mine.txt", ".hidden"])
def test_a_folder_with_a_file_of_the_users_stays_whole(tmp_path, name):
    written(tmp_path / "folder")
    filled(tmp_path / "folder", [name])
    assert not storage.remove_folder(tmp_path / "folder")
    assert storage.names_in(tmp_path / "folder") == sorted(["a", "deep/b", "manifest.json", name])


def test_a_folder_whose_content_cannot_be_listed_stays(tmp_path, monkeypatch):
    written(tmp_path / "folder")
    filled(tmp_path / "folder", ["secret/mine"])
    refuse_to_list("secret", monkeypatch)
    assert not storage.remove_folder(tmp_path / "folder")
    assert (tmp_path / "folder" / "secret" / "mine").is_file()


def test_a_folder_of_somebody_else_stays(tmp_path):
    filled(tmp_path / "folder")
    assert not storage.remove_folder(tmp_path / "folder")
    with pytest.raises(DataError, match="folder cannot be replaced"):
        written(tmp_path / "folder", names=("a",))
    assert storage.names_in(tmp_path / "folder") == ["a", "deep/b"]
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_a_folder_is_replaced_by_one_with_the_same_files(tmp_path):
    filled(tmp_path / "folder")
    with storage.whole_folder(tmp_path / "folder") as folder:
        filled(folder, ["a", "deep/b", "c"])
    assert storage.names_in(tmp_path / "folder") == ["a", "c", "deep/b"]
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


KILLED = """
import os, sys
from pathlib import Path
from nanogen_files import storage

step, left = sys.argv[2], int(sys.argv[3])
original = getattr(os, step)

def stopping(*args, **kwargs):
    global left
    if left == 0:
        os._exit(9)
    left -= 1
    return original(*args, **kwargs)

with storage.whole_folder(Path(sys.argv[1])) as folder:
    for name in ("a", "b"):
        (folder / name).write_text("new")
    setattr(os, step, stopping)
"""


def replaceable(path):
    path.mkdir(parents=True)
    for name in ("a", "b"):
        (path / name).write_text("old")


def versions(path):
    return [(path / name).read_text() for name in ("a", "b")]


@pytest.mark.parametrize("settle", [storage.sweep, lambda parent: storage.begin_folder(parent / "folder")])
def test_a_kill_at_any_moment_of_a_replacement_leaves_the_old_folder_or_the_new_one(tmp_path, settle):
    moments = [("replace", number) for number in range(4)] + [("unlink", 0), ("unlink", 1), ("rmdir", 0), ("fsync", 3)]
    codes = []
    for step, number in moments:
        path = tmp_path / f"{step}-{number}" / "folder"
        replaceable(path)
        codes.append(subprocess.run([sys.executable, "-c", KILLED, path, step, str(number)], check=False).returncode)
        settle(path.parent)
        assert versions(path) in (["old"] * 2, ["new"] * 2), (step, number)
        storage.sweep(path.parent)
        assert [entry.name for entry in path.parent.iterdir()] == ["folder"]
    assert codes == [9, 9, 9, 0, 9, 9, 9, 9]


@pytest.mark.parametrize("number", range(3))
def test_an_error_at_any_step_of_a_replacement_leaves_the_old_folder_or_the_new_one(tmp_path, monkeypatch, number):
    replace, calls = os.replace, []

    def failing(*args):
        calls.append(args)
        if len(calls) == number + 1:
            raise OSError("stop")
        replace(*args)

    replaceable(tmp_path / "folder")
    new = storage.begin_folder(tmp_path / "folder")
    for name in ("a", "b"):
        (new / name).write_text("new")
    monkeypatch.setattr(os, "replace", failing)
    with pytest.raises(OSError, match="stop"):
        storage.finish_folder(new, tmp_path / "folder")
    assert versions(tmp_path / "folder") == [["old"] * 2, ["old"] * 2, ["new"] * 2][number]
    storage.sweep(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["folder"]


def test_a_link_to_a_folder_is_replaced_and_the_folder_stays(tmp_path):
    replaceable(tmp_path / "target")
    (tmp_path / "folder").symlink_to(tmp_path / "target")
    with storage.whole_folder(tmp_path / "folder") as folder:
        filled(folder, ["a", "b"])
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["folder", "target"]
    assert versions(tmp_path / "target") == ["old"] * 2


def test_a_folder_that_was_removed_after_a_kill_does_not_come_back(tmp_path):
    written(tmp_path / "folder")
    written(tmp_path / "other")
    (tmp_path / "other").rename(tmp_path / ".folder.nanogen-old")  # as after a kill behind the second renaming
    assert storage.remove_folder(tmp_path / "folder")
    storage.sweep(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_only_temporary_names_are_discarded(tmp_path):
    filled(tmp_path / "folder")
    with pytest.raises(ValueError, match="not a temporary name"):
        storage.discard(tmp_path / "folder")
    assert json.dumps(storage.names_in(tmp_path / "folder")) == '["a", "deep/b"]'


@pytest.mark.parametrize(
    "read",
    [storage.read_json, storage.read_tensors, weights.read_weights, weights.read_metadata, hashing.file_hash, Archive],
    ids=lambda reader: reader.__name__,
)
def test_a_pipe_in_the_place_of_a_file_is_refused_without_waiting(tmp_path: Path, read: Any) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match=r"pipe is not a regular file"):
        read(tmp_path / "pipe")
