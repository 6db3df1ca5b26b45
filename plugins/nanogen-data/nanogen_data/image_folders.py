"""Find the images below a folder, and count the files that are skipped."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from attrs import define, field

from nanogen_core.errors import DataError
from nanogen_data.pictures import SUFFIXES, is_hidden, suffix
from nanogen_files.reading import entries

MAX_DEPTH = 64  # nested folders
MAX_LISTED = 3  # names per reason in the summary


@define
class SkippedFiles:
    """Names of the files that are skipped in an image folder.

    Args:
        used: Names of files and folders that are used for something other than images. They do not count as skipped.
        hidden: Paths of hidden and system entries, relative to the image folder.
        reasons: Names or relative paths of other skipped files, by reason.
        suffixes: Number of skipped files by suffix, such as ".txt". Files with an image suffix are not among them.
    """

    used: frozenset[str] = frozenset()
    hidden: list[str] = field(factory=list)
    reasons: dict[str, list[str]] = field(factory=dict)
    suffixes: Counter[str] = field(factory=Counter)

    def add(self, reason: str, name: str) -> None:
        """Add a file that is skipped for the given reason."""
        self.reasons.setdefault(reason, []).append(name)

    def add_hidden(self, name: str, folder: str = "") -> None:
        """Add a hidden or system entry.

        Args:
            name: Name of the entry.
            folder: Relative path of its folder, with a separator at the end.
        """
        if name not in self.used:
            self.hidden.append(f"{folder}{name}")

    def add_by_suffix(self, name: str) -> None:
        """Count a file without an image suffix."""
        if name not in self.used:
            self.suffixes[suffix(name)] += 1

    def summary(self, folder: Path) -> str:
        """Return a text such as `"Left out of /data: hidden or system entries: 2 (.a, .b)."`.

        Returns an empty string if nothing was skipped.
        """
        parts = [_counted(reason, names) for reason, names in self.reasons.items()]
        if self.hidden:
            parts.insert(0, _counted("hidden or system entries", self.hidden))
        if self.suffixes:
            kinds = ", ".join(f"{count} {kind or 'without a suffix'}" for kind, count in sorted(self.suffixes.items()))
            parts.append(f"files without an image suffix: {self.suffixes.total()} ({kinds})")
        return f"Left out of {folder}: {'; '.join(parts)}." if parts else ""


def images_below(folder: Path, skipped: SkippedFiles) -> Iterator[str]:
    """Yield the relative paths of the images below a folder. The entries of each folder are in alphabetical order.

    Follows links, except to a folder that contains the link.

    Args:
        folder: Folder to search.
        skipped: Collects the skipped files.

    Raises:
        DataError: A folder cannot be listed, or folders are nested too deeply.
    """
    yield from _images(folder, skipped, "", ())


def _images(folder: Path, skipped: SkippedFiles, prefix: str, parents: tuple[tuple[int, int], ...]) -> Iterator[str]:
    listed = entries(folder)
    state = folder.stat()
    device_inode = (state.st_dev, state.st_ino)
    if device_inode in parents:
        return
    if len(parents) == MAX_DEPTH:
        raise DataError(f"{folder} is nested more than {MAX_DEPTH} folders deep: move its images up.")
    for entry in listed:
        if is_hidden(entry.name):
            skipped.add_hidden(entry.name, prefix)
        elif entry.is_dir():
            yield from _images(Path(entry.path), skipped, f"{prefix}{entry.name}{os.sep}", (*parents, device_inode))
        elif suffix(entry.name) in SUFFIXES:
            yield f"{prefix}{entry.name}"
        else:
            skipped.add_by_suffix(entry.name)


def _counted(reason: str, names: list[str]) -> str:
    shown = ", ".join(name.encode("utf-8", "backslashreplace").decode() for name in names[:MAX_LISTED])
    return f"{reason}: {len(names)} ({shown}{', ...' if len(names) > MAX_LISTED else ''})"
