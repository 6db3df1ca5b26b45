"""Finds the images in and below a folder, and counts what is left out."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from attrs import define, field

from nanogen_core.errors import DataError
from nanogen_data.pictures import SUFFIXES, is_hidden, suffix
from nanogen_files.reading import entries

DEEPEST = 64  # folders inside each other
NAMED = 3  # names that a sentence says


@define
class Left:
    """The names of what is left out: hidden and system entries, other files that have a reason, and suffixes that no
    image has. Files whose names are `known` have another use."""

    known: frozenset[str] = frozenset()
    hidden: list[str] = field(factory=list)
    reasons: dict[str, list[str]] = field(factory=dict)
    suffixes: Counter[str] = field(factory=Counter)

    def note(self, reason: str, name: str) -> None:
        self.reasons.setdefault(reason, []).append(name)

    def count_file(self, name: str) -> None:
        """A file that is no image."""
        if name not in self.known:
            self.suffixes[suffix(name)] += 1

    def sentence(self, folder: Path) -> str:
        """`"Left out of /data: hidden or system entries: 2 (.a, .b)."`, or the empty string where nothing was."""
        parts = [_counted(reason, names) for reason, names in self.reasons.items()]
        if self.hidden:
            parts.insert(0, _counted("hidden or system entries", self.hidden))
        if self.suffixes:
            kinds = ", ".join(f"{count} {kind or 'without a suffix'}" for kind, count in sorted(self.suffixes.items()))
            parts.append(f"files that are no images by their suffix: {self.suffixes.total()} ({kinds})")
        return f"Left out of {folder}: {'; '.join(parts)}." if parts else ""


def images_below(folder: Path, left: Left) -> Iterator[str]:
    """The images in a folder and below it, by their paths in it, folder by folder in alphabetical order.

    Links are followed, but for one to a folder above. Raises DataError for a folder that may not be listed.
    """
    yield from _images(folder, left, "", ())


def _images(folder: Path, left: Left, above: str, parents: tuple[tuple[int, int], ...]) -> Iterator[str]:
    found = entries(folder)
    state = folder.stat()
    here = (state.st_dev, state.st_ino)
    if here in parents:
        return
    if len(parents) == DEEPEST:
        raise DataError(f"{folder} lies more than {DEEPEST} folders deep: move its images up.")
    for entry in found:
        if is_hidden(entry.name):
            left.hidden.append(f"{above}{entry.name}")
        elif entry.is_dir():
            yield from _images(Path(entry.path), left, f"{above}{entry.name}{os.sep}", (*parents, here))
        elif suffix(entry.name) in SUFFIXES:
            yield f"{above}{entry.name}"
        else:
            left.count_file(entry.name)


def _counted(what: str, names: list[str]) -> str:
    shown = ", ".join(name.encode("utf-8", "backslashreplace").decode() for name in names[:NAMED])
    return f"{what}: {len(names)} ({shown}{', ...' if len(names) > NAMED else ''})"
