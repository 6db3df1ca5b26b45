"""Readers of the files that label a folder of images: `labels.csv`, `prompts.csv`, `prompts.txt`."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from nanogen_core.errors import DataError, shown
from nanogen_data.notes import warn_once
from nanogen_files import csv_files, text_files
from nanogen_files.errors import counted
from nanogen_files.reading import is_file

log = logging.getLogger(__name__)

LABELS, PROMPTS, LINES = "labels.csv", "prompts.csv", "prompts.txt"
_NUMBER = re.compile(r"[0-9]{1,18}")


def labels(folder: Path, names: Sequence[str]) -> list[int] | None:
    """Read the label of each image from `labels.csv`.

    Args:
        folder: Folder of the images.
        names: Paths of the images, relative to the folder.

    Returns:
        Labels in the order of `names`; None if there is no file.

    Raises:
        DataError: A label is not a nonnegative integer, or the file does not match the images.
    """
    path = folder / LABELS
    if not is_file(path):
        return None
    return [_label(row, path) for row in _rows(path, "label", names)]


def prompts(folder: Path, names: Sequence[str]) -> list[str] | None:
    """Read the prompt of each image from `prompts.csv` or `prompts.txt`.

    Args:
        folder: Folder of the images.
        names: Paths of the images, relative to the folder.

    Returns:
        Prompts in the order of `names`; None if there is no file.

    Raises:
        DataError: Both files exist, or the file does not match the images.
    """
    table, listed = folder / PROMPTS, folder / LINES
    if is_file(table) and is_file(listed):
        raise DataError(f"{folder} has both {PROMPTS} and {LINES}: remove one of them.")
    if is_file(table):
        return [row.cells["prompt"] for row in _rows(table, "prompt", names)]
    if not is_file(listed):
        return None
    found = text_files.entries(listed, "prompt")
    if len(found) != len(names):
        raise DataError(
            f"{listed} has {counted(len(found), 'line')} for {counted(len(names), 'image')}: write one line per image,"
            f" or use {PROMPTS} with the columns file,prompt."
        )
    return found


def _label(row: csv_files.Row, path: Path) -> int:
    text = row.cells["label"].strip()
    if not _NUMBER.fullmatch(text):
        raise DataError(
            f"Line {row.line} of {path}: the label {shown(text)} is not a nonnegative integer: write the class index."
        )
    return int(text)


def _rows(path: Path, column: str, names: Sequence[str]) -> list[csv_files.Row]:
    """Return the row of each image. Raises DataError if an image has no row, or more than one."""
    known = frozenset(names)
    found: dict[str, csv_files.Row] = {}
    for row in csv_files.read(path, ("file", column)):
        written = row.cells["file"]
        name = written if written in known else str(PurePosixPath(written.strip()))
        if name in found:
            raise DataError(
                f"Lines {found[name].line} and {row.line} of {path} are both for {shown(name)}: remove one of them."
            )
        found[name] = row
    missing = [name for name in names if name not in found]
    if missing:
        raise DataError(
            f"{path} has no line for {missing[0]!r} ({counted(len(missing), 'image has', 'images have')} none): add a"
            " line for each image of the folder."
        )
    absent = [name for name in found if name not in known]
    if absent:
        warn_once(
            log, f"{path} has {counted(len(absent), 'line')} for files that do not exist, such as {shown(absent[0])}."
        )
    return [found[name] for name in names]
