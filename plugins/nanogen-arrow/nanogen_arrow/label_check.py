"""Checks all labels of a table when it is opened."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pyarrow
import pyarrow.compute as compute

from nanogen_arrow.pieces import read_column
from nanogen_core.errors import DataError
from nanogen_data.labels import from_one, wrong


def refuse_wrong_labels(files: Iterable[Path], column: str, classes: int) -> None:
    """Raise DataError for the first label that is not a whole number from 0 to `classes` - 1.

    Args:
        files: The tables.
        column: The column of labels.
        classes: The number of classes.
    """
    extremes: set[int] = set()
    first: tuple[object, str] | None = None
    for path in files:
        values = read_column(path, column)
        if pyarrow.types.is_dictionary(values.type):
            values = compute.cast(values, values.type.value_type)
        if pyarrow.types.is_integer(values.type):
            extremes.update(number for number in compute.min_max(values).as_py().values() if number is not None)
        row = _first_wrong(values, classes)
        if row is not None and first is None:
            first = (values[row].as_py(), f"row {row} of {path}")
    if first is not None:
        value, place = first
        hint = " Write the number of each class in place of its name." if isinstance(value, str) else ""
        raise DataError(f"{wrong(value, classes, place)}{from_one(extremes, classes)}{hint}")


def _first_wrong(values: pyarrow.ChunkedArray, classes: int) -> int | None:
    """Return the first row with an invalid label; None if all are valid."""
    if not pyarrow.types.is_integer(values.type):
        return 0 if len(values) else None
    values = compute.cast(values, pyarrow.int64(), safe=False)  # a uint64 above the range becomes negative
    outside = compute.or_(compute.less(values, 0), compute.greater_equal(values, classes))
    found = compute.index(compute.fill_null(outside, True), True).as_py()
    return None if found < 0 else int(found)
