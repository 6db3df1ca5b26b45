"""Finds the images of class folders, and counts what is left out."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from nanogen_core.errors import DataError
from nanogen_core.files import entries
from nanogen_core.notes import warn_once
from nanogen_core.pictures import is_hidden, is_image, suffix

log = logging.getLogger(__name__)
DEEPEST = 64  # folders inside a class folder
NAMED = 3  # names of each kind that the sentence says

HIDDEN, EMPTY, LOOSE = "hidden or system", "without images", "beside the class folders"


class Found(NamedTuple):
    """The image files of each class by their paths in its folder, in order; and the names of what was left out, by
    reason and by suffix."""

    files: dict[str, list[str]]
    left: dict[str, list[str]]
    others: Counter[str]


def scan(split: Path) -> Found:
    """The classes of a split are its folders with an image in them or below. Raises DataError for a folder whose name
    is not UTF-8, and where one may not be listed."""
    found = Found({}, {HIDDEN: [], EMPTY: [], LOOSE: []}, Counter())
    for entry in entries(split):
        if is_hidden(entry.name):
            found.left[HIDDEN].append(entry.name)
        elif not entry.is_dir():
            _leave(entry.name, found)
        elif files := list(_images(Path(entry.path), found)):
            found.files[_utf8(entry)] = files
        else:
            found.left[EMPTY].append(entry.name)
    return found


def has_images(folder: Path) -> bool:
    """Whether there is an image in a folder or below it."""
    return any(_images(folder, Found({}, {HIDDEN: []}, Counter())))


def say(split: Path, found: Found) -> None:
    """Logs what was left out, if anything was."""
    hidden, empty, loose = (found.left[kind] for kind in (HIDDEN, EMPTY, LOOSE))
    parts = [
        _counted(hidden, f"{HIDDEN} entries"),
        _counted(empty, f"folders {EMPTY}"),
        _counted(loose, f"images {LOOSE}"),
    ]
    if found.others:
        kinds = ", ".join(f"{count} {kind or 'without a suffix'}" for kind, count in sorted(found.others.items()))
        parts.append(f"{found.others.total()} files that are no images by their suffix ({kinds})")
    said = [part for part in parts if part]
    if said:
        warn_once(log, f"Left out of {split}: {'; '.join(said)}.")


def _images(folder: Path, found: Found, above: str = "", parents: tuple[tuple[int, int], ...] = ()) -> Iterator[str]:
    """The images in a folder and below it, by their paths from the first one. A link to a folder above is not
    followed."""
    state = folder.stat()
    here = (state.st_dev, state.st_ino)
    if here in parents:
        return
    if len(parents) == DEEPEST:
        raise DataError(f"{folder} lies more than {DEEPEST} folders below its class folder: move its images up.")
    for entry in entries(folder):
        if is_hidden(entry.name):
            found.left[HIDDEN].append(f"{above}{entry.name}")
        elif entry.is_dir():
            yield from _images(Path(entry.path), found, f"{above}{entry.name}{os.sep}", (*parents, here))
        elif is_image(entry.name):
            yield f"{above}{entry.name}"
        else:
            found.others[suffix(entry.name)] += 1


def _leave(name: str, found: Found) -> None:
    if is_image(name):
        found.left[LOOSE].append(name)
    else:
        found.others[suffix(name)] += 1


def _utf8(entry: os.DirEntry[str]) -> str:
    """Class names are written into checkpoints. Raises DataError for a name that no text file can hold."""
    try:
        entry.name.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"The name of the class folder {os.fsencode(entry.name)!r} in {Path(entry.path).parent} is not UTF-8: "
            f"rename it."
        ) from error
    return entry.name


def _counted(names: list[str], what: str) -> str:
    if not names:
        return ""
    more = ", ..." if len(names) > NAMED else ""
    return f"{len(names)} {what} ({', '.join(_shown(names[:NAMED]))}{more})"


def _shown(names: Iterable[str]) -> list[str]:
    return [name.encode("utf-8", "backslashreplace").decode() for name in names]
