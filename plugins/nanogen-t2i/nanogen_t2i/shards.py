"""Which tars a setting means: a file, a folder, a glob or a brace pattern. What exists as it is typed is no pattern."""

from __future__ import annotations

import glob
import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from nanogen_core.errors import DataError, listing, shown
from nanogen_data.notes import warn_once
from nanogen_data.pictures import is_hidden, suffix
from nanogen_files.reading import entries, is_file, is_folder, user_path
from nanogen_t2i.braces import expand

log = logging.getLogger(__name__)

MAGIC = frozenset("*?[{}")
TAR = ".tar"
LONGEST = 200  # characters of a pattern in a sentence
SEPARATOR = "::"  # between patterns, as webdataset has it


def is_pattern(text: str) -> bool:
    """Whether it is a glob or a brace pattern: nothing of that very name exists, and it has a character of these."""
    path = user_path(text)
    return bool((MAGIC & set(text)) or SEPARATOR in text) and not (is_folder(path) or is_file(path))


def tars_of(text: str, setting: str) -> list[Path]:
    """The tars that a setting names, in order. Raises DataError where one is missing or named twice."""
    if is_pattern(text):
        return tars_of_pattern(text, setting)
    path = user_path(text)
    return [path] if is_file(path) else tars_of_folder(path, setting)


def tars_of_pattern(pattern: str, setting: str) -> list[Path]:
    """The files of a pattern, braces expanded as shells do. Raises DataError where one is missing."""
    found: list[Path] = []
    for part, files in _by_part(pattern):
        if not files:
            asked = shown(pattern, LONGEST)
            raise DataError(
                f"There is no file {shown(str(part), LONGEST)}, which the pattern {asked} asks for: mend `{setting}`."
            )
        found += files
    twice = next((tar for tar, count in Counter(found).items() if count > 1), None)
    if twice is not None:
        raise DataError(
            f"{shown(pattern, LONGEST)} names {twice} twice, whose samples would count twice: mend `{setting}`."
        )
    return found


def first_of_pattern(pattern: str) -> Path | None:
    """The first file of a pattern, where it has one."""
    return next((files[0] for _, files in _by_part(pattern) if files), None)


def tars_of_folder(folder: Path, setting: str) -> list[Path]:
    """The tars in a folder, by name. Raises DataError where it has none; logs what else lies there."""
    if not is_folder(folder):
        raise DataError(f"There are no .tar files in {folder} (there is: no such folder): set `{setting}`.")
    found = entries(folder)
    tars = [folder / entry.name for entry in found if entry.name.endswith(TAR) and not is_hidden(entry.name)]
    if not tars:
        there = listing(entry.name for entry in found[:5])
        raise DataError(f"There are no .tar files in {folder} (there is: {there}): set `{setting}` to their folder.")
    left = [entry for entry in found if folder / entry.name not in tars and entry.name != "val"]
    if left:
        kinds = Counter("hidden" if is_hidden(e.name) else "folder" if e.is_dir() else suffix(e.name) for e in left)
        counted = ", ".join(f"{count} {kind or 'without a suffix'}" for kind, count in sorted(kinds.items()))
        warn_once(log, f"Left out of {folder}: entries that are no {TAR} files: {len(left)} ({counted}).")
    return tars


def _by_part(pattern: str) -> Iterator[tuple[Path, list[Path]]]:
    """Each name that the braces stand for, with the files that its other characters match."""
    whole = SEPARATOR not in _existing(user_path(pattern))[1]
    for one in [pattern] if whole else pattern.split(SEPARATOR):
        home, rest = _existing(user_path(one))
        for part in expand(rest):
            path = home / part
            yield path, [path] if is_file(path) else _matches(home, part)


def _existing(path: Path) -> tuple[Path, str]:
    """The folders at the beginning of a path that exist as they are typed, and the rest."""
    home, parts = Path(path.anchor), list(path.parts[1:] if path.anchor else path.parts)
    while parts and is_folder(home / parts[0]):
        home /= parts.pop(0)
    return home, "/".join(parts)


def _matches(home: Path, part: str) -> list[Path]:
    if not glob.has_magic(part):
        return []
    return [Path(file) for file in sorted(glob.glob(f"{glob.escape(str(home))}/{part}"))]
