"""Tables of scores, one row for each model, from comma-separated files."""

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

#: Tables that can be asked for by name: the 26 models of DiffusionBench (arXiv 2606.24888), 100K steps each.
SHIPPED = {"published": "published.csv"}
MISSING = frozenset({"", "-", "–", "—", "na", "n/a", "nan", "none", "null"})
NAME_COLUMNS = ("method", "model", "name")
MOST_ROWS = 10_000  # no benchmark is near; a wrong file should not fill the memory


@frozen(kw_only=True)
class Table:
    """Rows of text. `columns` are in the file's order; the models' names are in `name_column`."""

    source: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    name_column: str

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, object]], *, source: str) -> Table:
        """A table of values, None for a missing one. Raises DataError where it has no rows or a name twice."""
        columns = tuple(dict.fromkeys(str(key) for row in rows for key in row))
        text = tuple({column: _text(row.get(column)) for column in columns} for row in rows)
        return _checked(source, columns, text)

    @property
    def models(self) -> tuple[str, ...]:
        return tuple(row[self.name_column] for row in self.rows)

    def column(self, name: str) -> str:
        """The column's name. Raises DataError, with a near miss, where there is none."""
        if name not in self.columns:
            known = ", ".join(self.columns)
            raise DataError(f"{self.source} has no column {name!r}.{near_miss(name, self.columns)} It has: {known}.")
        return name

    def numbers(self, name: str) -> NDArray[np.float64]:
        """A column as numbers, NaN where it has none. Raises DataError for other text."""
        column = self.column(name)
        return np.array([self._number(row, column) for row in self.rows])  # [models]

    def kept(self, rows: Iterable[Row]) -> Table:
        return attrs.evolve(self, rows=tuple(rows))

    def _number(self, row: Row, column: str) -> float:
        number = number_in(row[column])
        if number is None:
            raise DataError(
                f"{column} of {row[self.name_column]!r} in {self.source} is {row[column]!r}, which is no number; "
                "leave it empty where there is none."
            )
        return number


def number_in(text: str) -> float | None:
    """The number that a cell holds, NaN for an empty one or one that says so, None for any other text."""
    if text.casefold() in MISSING:
        return math.nan
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and "_" not in text else None


def read_table(place: str | Path) -> Table:
    """The table in a CSV file with a header, or one of SHIPPED. Raises DataError where it is missing or damaged."""
    if str(place) in SHIPPED:
        return _read((files("nanogen_bench") / SHIPPED[str(place)]).read_text(encoding="utf-8"), str(place))
    if not Path(place).is_file():
        raise DataError(
            f"There is no file {str(place)!r}.{near_miss(str(place), SHIPPED)} "
            f"A table is a CSV file, or one of those that come along: {listing(SHIPPED)}."
        )
    return _read(text_files.read(Path(place)), str(place))


def _read(text: str, source: str) -> Table:
    if not text.strip():
        raise DataError(f"{source} is empty: its first line should name the columns.")
    found = (row.cells for row in csv_files.parse(text, source))
    rows = tuple({name: cell.strip() for name, cell in cells.items()} for cells in islice(found, MOST_ROWS + 1))
    if len(rows) > MOST_ROWS:
        raise DataError(f"{source} has more than {MOST_ROWS:,} rows: a table has one row for each model.")
    filled = tuple(row for row in rows if any(row.values()))
    return _checked(source, tuple(rows[0]) if rows else (), filled)


def _checked(source: str, columns: tuple[str, ...], rows: tuple[Row, ...]) -> Table:
    if not rows:
        raise DataError(f"{source} has no rows.")
    name_column = next((name for name in NAME_COLUMNS if name in columns), columns[0])
    seen: set[str] = set()
    for row in rows:
        name = row[name_column].casefold()
        if not name:
            raise DataError(f"A row of {source} has no {name_column}.")
        if name in seen:
            raise DataError(
                f"{source} has two rows whose {name_column} is {row[name_column]!r}: a model counts once. Average "
                "them, or give each a name of its own."
            )
        seen.add(name)
    return Table(source=source, columns=columns, rows=rows, name_column=name_column)


def _text(value: object) -> str:
    return "" if value is None else str(value).strip()
