"""What a score's column is called on the page, whose task it is of, and how many decimals it has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from attrs import frozen

from nanogen_bench.correlation.directions import HIGHER, LOWER, known_direction
from nanogen_bench.correlation.table import Row, Table, number_in

CLASSES, TEXTS, OTHER = "Classes", "Texts", "Other columns"
#: The first word of a column's name -> its title, and the task that it judges where nobody says.
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
SPREAD = "_sd"  # ends the name of the column with another one's standard deviation over seeds
MOST_DECIMALS = 3


@frozen
class Column:
    """One column of scores. `direction` is None where nobody said which way it points."""

    name: str
    title: str
    task: str
    direction: str | None
    decimals: int

    @property
    def arrow(self) -> str:
        return ARROWS.get(self.direction or "", "")

    @property
    def lower(self) -> bool:
        return self.direction == LOWER

    def value(self, row: Row) -> float | None:
        """The row's number, if it has one."""
        return _number(row, self.name)

    def spread(self, row: Row) -> float | None:
        """Its standard deviation over seeds, if the table has one."""
        return _number(row, self.name + SPREAD)


def title(name: str) -> str:
    """`"fid_nocfg"` is `"FID, unguided"`; a name that is not known stays as it is."""
    first, _, rest = name.partition("_")
    if first not in TITLES:
        return name
    words = [WORDS.get(word, word) for word in rest.split("_") if word]
    return ", ".join([TITLES[first][0], *words])


def columns(table: Table, xs: Iterable[str], ys: Iterable[str], said: Mapping[str, str]) -> list[Column]:
    """The table's columns of numbers, those of classes first. `xs` and `ys` are what is compared, of either task."""
    tasks = {**dict.fromkeys(xs, CLASSES), **dict.fromkeys(ys, TEXTS)}
    found = [
        Column(name, title(name), _task(name, tasks), said.get(name) or known_direction(name), _decimals(cells))
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
    return None if value is None or value != value else value  # NaN: an empty cell


def _cells(table: Table, name: str) -> list[str]:
    """The cells of a column that is numbers all through, without the empty ones; nothing for any other column."""
    cells = [row[name] for row in table.rows]
    texts = any(number_in(cell) is None for cell in cells)
    return (
        [] if texts else [cell for cell, row in zip(cells, table.rows, strict=True) if _number(row, name) is not None]
    )


def _decimals(cells: Sequence[str]) -> int:
    """As many as the cell with most of them has."""
    return min(MOST_DECIMALS, max(len(cell.lower().partition("e")[0].partition(".")[2]) for cell in cells))
