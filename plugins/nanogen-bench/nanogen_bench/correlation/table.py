"""Tables of scores with one row per model, from CSV files or from values in memory."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from itertools import islice
from pathlib import Path

import attrs
import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from nanogen_core.errors import DataError, listing, near_miss
from nanogen_files import csv_files, text_files

Row = Mapping[str, str]

#: Shipped tables by name. `published`: the 26 models of DiffusionBench (arXiv 2606.24888), 100K steps each.
SHIPPED = {"published": "published.csv"}
MISSING = frozenset({"", "-", "–", "—", "na", "n/a", "nan", "none", "null"})
NAME_COLUMNS = ("method", "model", "name")
MAX_ROWS = 10_000  # protects the memory from wrong files


@frozen(kw_only=True)
class Table:
    """Table of strings.

    Attributes:
        source: File or name of the table.
        columns: Names of the columns, in the order of the file.
        rows: Column -> cell, for each row.
        name_column: Column with the names of the models.
    """

    source: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    name_column: str

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, object]], *, source: str) -> Table:
        """Make a table from rows of values. None is a missing value.

        Raises:
            DataError: There are no rows, a row has no name, or two rows have the same name (ignoring case).
        """
        columns = tuple(dict.fromkeys(str(key) for row in rows for key in row))
        text = tuple({column: _text(row.get(column)) for column in columns} for row in rows)
        return _checked(source, columns, text)

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models."""
        return tuple(row[self.name_column] for row in self.rows)

    def column(self, name: str) -> str:
        """Return the name if the table has such a column. Raises DataError otherwise."""
        if name not in self.columns:
            known = ", ".join(self.columns)
            raise DataError(f"{self.source} has no column {name!r}.{near_miss(name, self.columns)} Columns: {known}.")
        return name

    def numbers(self, name: str) -> NDArray[np.float64]:
        """Return a column as numbers [models]. Missing values are NaN.

        Raises:
            DataError: There is no such column, or a value is not a finite number.
        """
        column = self.column(name)
        return np.array([self._number(row, column) for row in self.rows])

    def kept(self, rows: Iterable[Row]) -> Table:
        """Return a copy that has only the given rows."""
        return attrs.evolve(self, rows=tuple(rows))

    def _number(self, row: Row, column: str) -> float:
        number = number_in(row[column])
        if number is None:
            raise DataError(
                f"{column} of {row[self.name_column]!r} in {self.source} is {row[column]!r}, which"
                f" {fault(row[column])}. Leave the cell empty if the value is missing."
            )
        return number


def fault(text: str) -> str:
    """Return what is wrong with a cell that `number_in` rejects, such as "is not a number"."""
    try:
        number = float(text)
    except ValueError:
        return "is not a number"
    return "has an underscore: remove it" if math.isfinite(number) else "is not a finite float64 number"


def number_in(text: str) -> float | None:
    """Convert a cell to a finite number. A missing value, such as "" or "n/a", gives NaN; any other text gives None."""
    if text.casefold() in MISSING:
        return math.nan
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and "_" not in text else None


def read_table(place: str | Path) -> Table:
    """Read a CSV file with a header, or a table of `SHIPPED`. Raises DataError if it is missing or damaged."""
    if str(place) in SHIPPED:
        return _read((files("nanogen_bench") / SHIPPED[str(place)]).read_text(encoding="utf-8"), str(place))
    if not Path(place).is_file():
        raise DataError(
            f"There is no file {str(place)!r}.{near_miss(str(place), SHIPPED)} Give a CSV file, or the name of a"
            f" shipped table: {listing(SHIPPED)}."
        )
    return _read(text_files.read(Path(place)), str(place))


def _read(text: str, source: str) -> Table:
    if not text.strip():
        raise DataError(f"{source} is empty: its first line must name the columns.")
    found = (row.cells for row in csv_files.parse(text, source))
    rows = tuple({name: cell.strip() for name, cell in cells.items()} for cells in islice(found, MAX_ROWS + 1))
    if len(rows) > MAX_ROWS:
        raise DataError(f"{source} has more than {MAX_ROWS:,} rows: give a table with one row per model.")
    filled = tuple(row for row in rows if any(row.values()))
    return _checked(source, tuple(rows[0]) if rows else (), filled)


def _checked(source: str, columns: tuple[str, ...], rows: tuple[Row, ...]) -> Table:
    if not rows:
        raise DataError(f"{source} has no rows: give a table with one row per model.")
    name_column = next((name for name in NAME_COLUMNS if name in columns), columns[0])
    seen: set[str] = set()
    for row in rows:
        name = row[name_column].casefold()
        if not name:
            raise DataError(f"A row of {source} has no {name_column}: give each model a name.")
        if name in seen:
            raise DataError(
                f"{source} has two rows whose {name_column} is {row[name_column]!r}: average them, or give them"
                " different names."
            )
        seen.add(name)
    return Table(source=source, columns=columns, rows=rows, name_column=name_column)


def _text(value: object) -> str:
    return "" if value is None else str(value).strip()
