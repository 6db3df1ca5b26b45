"""Columns of scores on the page: title, task, direction, number of decimals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from attrs import frozen

from nanogen_bench.correlation.directions import HIGHER, LOWER, known_direction
from nanogen_bench.correlation.table import Row, Table, number_in

CLASSES, TEXTS, OTHER = "Class-conditional", "Text-to-image", "Other columns"
#: First word of a column's name -> title and default task.
TITLES = {
    "fid": ("FID", CLASSES),
    "is": ("IS", CLASSES),
    "accuracy": ("Accuracy", CLASSES),
    "frechet": ("Fréchet distance", OTHER),
    "geneval": ("GenEval", TEXTS),
    "dpgbench": ("DPG-Bench", TEXTS),
    "genaibench": ("GenAI-Bench", TEXTS),
    "presence": ("Presence", TEXTS),
    "count": ("Count", TEXTS),
    "colour": ("Colour", TEXTS),
    "position": ("Position", TEXTS),
    "scenes": ("Scenes (mean)", TEXTS),
}
WORDS = {"cfg": "guided", "nocfg": "unguided"}
ARROWS = {LOWER: "↓", HIGHER: "↑"}
SPREAD = "_sd"  # suffix of columns with standard deviations over seeds
MAX_DECIMALS = 3


@frozen
class Column:
    """One column of scores."""

    name: str
    title: str
    task: str  # `CLASSES`, `TEXTS` or `OTHER`
    direction: str | None  # "lower", "higher", or None if unknown
    decimals: int

    @property
    def arrow(self) -> str:
        """`"↓"` or `"↑"`; empty if the direction is unknown."""
        return ARROWS.get(self.direction or "", "")

    @property
    def lower(self) -> bool:
        """Whether lower values are better."""
        return self.direction == LOWER

    def value(self, row: Row) -> float | None:
        """Return the value of a row, or None if it is missing."""
        return _number(row, self.name)

    def spread(self, row: Row) -> float | None:
        """Return the standard deviation of a row over seeds, or None if it is missing."""
        return _number(row, self.name + SPREAD)


def title(name: str) -> str:
    """Return the title of a column: `"FID, unguided"` for `"fid_nocfg"`. Unknown names are unchanged."""
    first, _, rest = name.partition("_")
    if first not in TITLES:
        return name
    words = [WORDS.get(word, word) for word in rest.split("_") if word]
    return ", ".join([TITLES[first][0], *words])


def columns(table: Table, xs: Iterable[str], ys: Iterable[str], directions: Mapping[str, str]) -> list[Column]:
    """Return the numeric columns of a table except standard deviations, class-conditional scores first.

    Args:
        xs: Columns of class-conditional scores to compare.
        ys: Columns of text-to-image scores to compare.
        directions: Directions given by the user. They override the known ones.
    """
    tasks = {**dict.fromkeys(xs, CLASSES), **dict.fromkeys(ys, TEXTS)}
    found = [
        Column(name, title(name), _task(name, tasks), directions.get(name) or known_direction(name), _decimals(cells))
        for name in table.columns
        if name not in (table.name_column, "family") and not _is_spread(name, table) and (cells := _cells(table, name))
    ]
    order = (CLASSES, TEXTS, OTHER)
    return sorted(found, key=lambda column: (order.index(column.task), column.name not in tasks))


def _task(name: str, tasks: Mapping[str, str]) -> str:
    return tasks.get(name) or TITLES.get(name.partition("_")[0], ("", OTHER))[1]


def _is_spread(name: str, table: Table) -> bool:
    return name.endswith(SPREAD) and name.removesuffix(SPREAD) in table.columns


def _number(row: Row, name: str) -> float | None:
    value = number_in(row.get(name, ""))
    return None if value is None or value != value else value  # NaN marks an empty cell


def _cells(table: Table, name: str) -> list[str]:
    """Return the non-empty cells of a numeric column; empty for other columns."""
    cells = [row[name] for row in table.rows]
    texts = any(number_in(cell) is None for cell in cells)
    return (
        [] if texts else [cell for cell, row in zip(cells, table.rows, strict=True) if _number(row, name) is not None]
    )


def _decimals(cells: Sequence[str]) -> int:
    """Return the largest number of decimals of the cells, at most `MAX_DECIMALS`."""
    return min(MAX_DECIMALS, max(len(cell.lower().partition("e")[0].partition(".")[2]) for cell in cells))
