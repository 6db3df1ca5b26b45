"""Scans the class folders of a split."""

from __future__ import annotations

import os
from pathlib import Path

from attrs import define, field

from nanogen_core.errors import DataError
from nanogen_data.image_folders import SkippedFiles, images_below
from nanogen_data.pictures import is_hidden, is_image
from nanogen_files.reading import entries

EMPTY, LOOSE = "folders without images", "images outside the class folders"


@define
class Found:
    """Result of scanning a split."""

    files: dict[str, list[str]] = field(factory=dict)  # class folder -> paths of its images in it, sorted
    left: SkippedFiles = field(factory=SkippedFiles)  # ignored entries

    def names(self, reason: str) -> list[str]:
        """Return the names of the entries that were ignored for `reason`."""
        return self.left.reasons.get(reason, [])


def scan(split: Path) -> Found:
    """Scan the folder of a split. Its classes are the subfolders that contain an image at any depth.

    Raises DataError for a folder name that is not UTF-8, or a folder that cannot be listed or is nested too deeply.
    """
    found = Found()
    for entry in entries(split):
        if is_hidden(entry.name):
            found.left.add_hidden(entry.name)
        elif entry.is_dir():
            if files := list(images_below(Path(entry.path), found.left)):
                found.files[_utf8(entry)] = files
            else:
                found.left.add(EMPTY, entry.name)
        elif is_image(entry.name):
            found.left.add(LOOSE, entry.name)
        else:
            found.left.add_by_suffix(entry.name)
    return found


def has_images(folder: Path) -> bool:
    """Return whether a folder contains an image at any depth."""
    return any(images_below(folder, SkippedFiles()))


def _utf8(entry: os.DirEntry[str]) -> str:
    """Return the name of an entry.

    Raises DataError if it is not UTF-8, since class names are written to checkpoints.
    """
    try:
        entry.name.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"The name of the class folder {os.fsencode(entry.name)!r} in {Path(entry.path).parent} is not UTF-8. "
            "Rename the folder."
        ) from error
    return entry.name
