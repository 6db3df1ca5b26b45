"""Finds the classes of a split, and the images of each."""

from __future__ import annotations

import os
from pathlib import Path

from attrs import define, field

from nanogen_core.errors import DataError
from nanogen_data.image_folders import SkippedFiles, images_below
from nanogen_data.pictures import is_hidden, is_image
from nanogen_files.reading import entries

EMPTY, LOOSE = "folders without images", "images beside the class folders"


@define
class Found:
    """The image files of each class by their paths in its folder, in order; and what was left out."""

    files: dict[str, list[str]] = field(factory=dict)
    left: SkippedFiles = field(factory=SkippedFiles)

    def names(self, reason: str) -> list[str]:
        """What was left out for a reason."""
        return self.left.reasons.get(reason, [])


def scan(split: Path) -> Found:
    """The classes of a split are its folders with an image in them or below. Raises DataError for a folder whose name
    is not UTF-8, and where one may not be listed."""
    found = Found()
    for entry in entries(split):
        if is_hidden(entry.name):
            found.left.hidden.append(entry.name)
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
    """Whether there is an image in a folder or below it."""
    return any(images_below(folder, SkippedFiles()))


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
