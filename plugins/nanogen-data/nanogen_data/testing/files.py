"""What every part must do that reads files: say what is in them, so that no score outlives a file that changed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nanogen_core.errors import NanoGenError
from nanogen_data import contents
from nanogen_data.hashing import files_below

Build = Callable[[Path], Any]


class FilesContract:
    """Asks for the fixtures `folder`, with the files that the part reads and no others, and `build`, which makes a
    part that reads the folder it is called with.

    A part says what it reads by `files()`, by `weights()`, or, where it is a metric or a judge, in its `settings`.
    """

    unread: frozenset[str] = frozenset()  # names of files in the folder that change nothing

    def test_it_reads_something(self, folder: Path, build: Build) -> None:
        assert list(files_below(folder))
        assert _fingerprint(build(folder)) == _fingerprint(build(folder))

    def test_one_changed_byte_of_any_file_changes_its_fingerprint(
        self, folder: Path, build: Build, tmp_path: Path
    ) -> None:
        before, unnoticed = _fingerprint(build(folder)), []
        for number, file in enumerate(sorted(files_below(folder))):
            copy = shutil.copytree(folder, tmp_path / str(number) / folder.name)
            _change(copy / file.relative_to(folder))
            if file.name not in self.unread and _noticed(build, copy) == before:
                unnoticed.append(file.relative_to(folder).as_posix())
        assert unnoticed == []

    def test_it_is_the_same_wherever_the_folder_lies(self, folder: Path, build: Build, tmp_path: Path) -> None:
        copy = shutil.copytree(folder, tmp_path / "elsewhere" / folder.name)
        assert _fingerprint(build(copy)) == _fingerprint(build(folder))

    def test_a_missing_file_is_a_sentence(self, build: Build, tmp_path: Path) -> None:
        with pytest.raises(NanoGenError):
            _fingerprint(build(tmp_path / "nothing"))


def _noticed(build: Build, folder: Path) -> str:
    """The fingerprint, or that the changed file was refused."""
    try:
        return _fingerprint(build(folder))
    except NanoGenError:
        return "refused"


def _fingerprint(part: Any) -> str:
    return repr((dict(getattr(part, "settings", {})), contents.of(part)))


def _change(file: Path) -> None:
    """Changes the last byte of a file, or gives an empty one its first."""
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]) if content else b"x")
