"""Finds the tars that an option names: a file, a folder, a glob, a brace pattern or a URL.

The name of an existing file or folder is never read as a pattern.
"""

from __future__ import annotations

import glob
import logging
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from nanogen_core.errors import DataError, listing, shown
from nanogen_data.notes import warn_once
from nanogen_data.pictures import is_hidden, suffix
from nanogen_data.roots import is_url
from nanogen_data.stored_files import PATIENCE, LocalFile, RemoteFile, matches, over_files, remote_file
from nanogen_files.errors import counted
from nanogen_files.reading import entries, is_file, is_folder, user_path
from nanogen_t2i.braces import expand

log = logging.getLogger(__name__)

MAGIC = frozenset("*?[{}")
TAR = ".tar"
LONGEST = 200  # characters of a pattern in an error message
SEPARATOR = "::"  # between patterns, as in webdataset
_NEXT_URL = re.compile(rf"{SEPARATOR}(?=[A-Za-z][A-Za-z0-9+.-]*://)")


def is_pattern(text: str) -> bool:
    """Return whether a text is a glob, brace or `::` pattern. The path of an existing file or folder is not one."""
    path = user_path(text)
    return bool((MAGIC & set(text)) or SEPARATOR in text) and not (is_folder(path) or is_file(path))


def stored_tars(text: str, setting: str, patience: float = PATIENCE) -> list[LocalFile] | list[RemoteFile]:
    """Return the local or remote tars that an option names, in order.

    Args:
        text: A file, folder, pattern or URL.
        setting: The name of the option, for error messages.
        patience: Seconds that a read of a remote tar, or a listing, may take, including retries.

    Raises:
        DataError: A tar is missing or named twice.
    """
    if not is_url(text):
        return [LocalFile(path) for path in tars_of(text, setting)]
    urls = [url for part in _NEXT_URL.split(text) for url in _urls(part, setting, patience)]
    _refuse_twice(text, urls, setting)
    return over_files(lambda url: remote_file(url, patience), urls, remote=True)


def _urls(pattern: str, setting: str, patience: float) -> list[str]:
    """Return the URLs of a pattern with braces, and with `*` for object stores."""
    found: list[str] = []
    for url in expand(pattern):
        urls = matches(url, patience) if "*" in url else [url]
        if not urls:
            raise DataError(f"No file matches {shown(url, LONGEST)}. Correct `{setting}`.")
        found += urls
    return found


def tars_of(text: str, setting: str) -> list[Path]:
    """Return the local tars that an option names, in order.

    Args:
        text: A file, folder or pattern.
        setting: The name of the option, for error messages.

    Raises:
        DataError: A tar is missing or named twice.
    """
    if is_pattern(text):
        return tars_of_pattern(text, setting)
    path = user_path(text)
    return [path] if is_file(path) else tars_of_folder(path, setting)


def tars_of_pattern(pattern: str, setting: str) -> list[Path]:
    """Return the files that a pattern names, in order. Raises DataError for a missing or repeated file."""
    found: list[Path] = []
    for part, files in _by_part(pattern):
        if not files:
            raise DataError(
                f"There is no file {shown(str(part.absolute()), LONGEST)}, which the pattern"
                f" {shown(pattern, LONGEST)} names. Correct `{setting}`."
            )
        found += files
    _refuse_twice(pattern, found, setting)
    return found


def _refuse_twice(pattern: str, names: Sequence[object], setting: str) -> None:
    twice = next((tar for tar, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        raise DataError(
            f"{shown(pattern, LONGEST)} names {twice} twice, so its samples would count twice. Correct `{setting}`."
        )


def first_of_pattern(pattern: str) -> Path | None:
    """Return the first existing file that a pattern names; None if there is none."""
    return next((files[0] for _, files in _by_part(pattern) if files), None)


def tars_of_folder(folder: Path, setting: str) -> list[Path]:
    """Return the tars in a folder, sorted by name, and log other files. Raises DataError if there are no tars."""
    if not is_folder(folder):
        raise DataError(
            f"There is no tar or folder {folder.absolute()}. Set `{setting}` to a tar or to a folder of .tar files."
        )
    found = entries(folder)
    tars = [folder / entry.name for entry in found if entry.name.endswith(TAR) and not is_hidden(entry.name)]
    if not tars:
        there = listing(entry.name for entry in found[:5])
        raise DataError(
            f"There are no .tar files in {folder.absolute()}. It has: {there}. Set `{setting}` to a folder of .tar"
            " files."
        )
    left = [entry for entry in found if folder / entry.name not in tars and entry.name != "val"]
    if left:
        kinds = Counter("hidden" if is_hidden(e.name) else "folder" if e.is_dir() else suffix(e.name) for e in left)
        summary = ", ".join(f"{count} {kind or 'without a suffix'}" for kind, count in sorted(kinds.items()))
        others = counted(len(left), "entry that is", "entries that are")
        warn_once(log, f"Ignored in {folder}: {others} not {TAR} files ({summary}).")
    return tars


def _by_part(pattern: str) -> Iterator[tuple[Path, list[Path]]]:
    """Yield each name that the braces expand to, with the files that it matches as a glob."""
    whole = SEPARATOR not in _existing(user_path(pattern))[1]
    for one in [pattern] if whole else pattern.split(SEPARATOR):
        home, rest = _existing(user_path(one))
        for part in expand(rest):
            path = home / part
            yield path, [path] if is_file(path) else _matches(home, part)


def _existing(path: Path) -> tuple[Path, str]:
    """Split a path into its leading part that exists literally, and the rest."""
    home, parts = Path(path.anchor), list(path.parts[1:] if path.anchor else path.parts)
    while parts and is_folder(home / parts[0]):
        home /= parts.pop(0)
    return home, "/".join(parts)


def _matches(home: Path, part: str) -> list[Path]:
    if not glob.has_magic(part):
        return []
    return [Path(file) for file in sorted(glob.glob(f"{glob.escape(str(home))}/{part}"))]
