"""Contract of components that read files: their fingerprint must change when a file changes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nanogen_core.errors import NanoGenError
from nanogen_data import contents
from nanogen_files.hashing import files_below

Build = Callable[[Path], Any]


class FilesContract:
    """Contract tests of a component that reads files.

    Subclasses provide two fixtures: `folder` contains exactly the files that the component reads, and `build(folder)`
    builds the component. A component reports its files by options that are paths, by `files()`, by `weights()`, or, if
    it is a metric or a judge, in its `settings`.
    """

    ignored_files: frozenset[str] = frozenset()  # names of files in `folder` that do not affect the fingerprint

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
            if file.name not in self.ignored_files and _fingerprint_or_refusal(build, copy) == before:
                unnoticed.append(file.relative_to(folder).as_posix())
        assert unnoticed == []

    def test_it_is_the_same_wherever_the_folder_lies(self, folder: Path, build: Build, tmp_path: Path) -> None:
        copy = shutil.copytree(folder, tmp_path / "elsewhere" / folder.name)
        assert _fingerprint(build(copy)) == _fingerprint(build(folder))

    def test_a_missing_file_is_a_sentence(self, build: Build, tmp_path: Path) -> None:
        with pytest.raises(NanoGenError):
            _fingerprint(build(tmp_path / "nothing"))


def _fingerprint_or_refusal(build: Build, folder: Path) -> str:
    """Return the fingerprint, or "refused" if the component rejects the changed file."""
    try:
        return _fingerprint(build(folder))
    except NanoGenError:
        return "refused"


def _fingerprint(part: Any) -> str:
    return repr((dict(getattr(part, "settings", {})), contents.of(part)))


def _change(file: Path) -> None:
    """Change the last byte of a file, or write one byte into an empty file."""
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]) if content else b"x")
