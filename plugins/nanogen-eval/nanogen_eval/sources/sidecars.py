"""What files beside images say of them: `labels.csv`, `prompts.csv` and `prompts.txt`."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from nanogen_core.errors import DataError, shown
from nanogen_data.notes import warn_once
from nanogen_files import csv_files, text_files
from nanogen_files.reading import is_file

log = logging.getLogger(__name__)

LABELS, PROMPTS, LINES = "labels.csv", "prompts.csv", "prompts.txt"
_NUMBER = re.compile(r"[0-9]{1,18}")


def labels(folder: Path, names: Sequence[str]) -> list[int] | None:
    """The label of each image, whose paths in the folder are `names`; None where no file says so.

    Raises DataError, with the line, for what is no whole number, and for a file that does not fit the images.
    """
    path = folder / LABELS
    if not is_file(path):
        return None
    return [_label(row, path) for row in _rows(path, "label", names)]


def prompts(folder: Path, names: Sequence[str]) -> list[str] | None:
    """The prompt of each image; None where no file says so. Raises DataError for files that do not fit the images."""
    table, listed = folder / PROMPTS, folder / LINES
    if is_file(table) and is_file(listed):
        raise DataError(f"{folder} has both {PROMPTS} and {LINES}, which may differ: take one of them away.")
    if is_file(table):
        return [row.cells["prompt"] for row in _rows(table, "prompt", names)]
    if not is_file(listed):
        return None
    found = text_files.entries(listed, "prompt")
    if len(found) != len(names):
        raise DataError(
            f"{listed} has {len(found)} lines for {len(names)} images: write one prompt a line for each, or name the "
            f"images in {PROMPTS}."
        )
    return found


def _label(row: csv_files.Row, path: Path) -> int:
    text = row.cells["label"].strip()
    if not _NUMBER.fullmatch(text):
        raise DataError(
            f"Line {row.line} of {path}: the label {shown(text)} is no whole number from 0: write the number of the "
            f"class."
        )
    return int(text)


def _rows(path: Path, column: str, names: Sequence[str]) -> list[csv_files.Row]:
    """The row of each image. Raises DataError for a second row of a file, and for an image without one."""
    known = frozenset(names)
    found: dict[str, csv_files.Row] = {}
    for row in csv_files.read(path, ("file", column)):
        written = row.cells["file"]
        name = written if written in known else str(PurePosixPath(written.strip()))
        if name in found:
            raise DataError(
                f"Line {row.line} of {path} is the second one for {shown(name)}, after line {found[name].line}: take "
                f"one away."
            )
        found[name] = row
    missing = [name for name in names if name not in found]
    if missing:
        raise DataError(
            f"{path} says nothing of {missing[0]!r} ({len(missing)} missing): it must have a line for each image of "
            f"the folder."
        )
    absent = [name for name in found if name not in known]
    if absent:
        warn_once(log, f"{path} has rows for files that are not there: {len(absent)}, such as {shown(absent[0])}.")
    return [found[name] for name in names]
