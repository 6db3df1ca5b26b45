"""Section of the leaderboard: all models with their scores and mean ranks on both tasks."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby

from attrs import frozen

from nanogen_bench.correlation.table import Row
from nanogen_bench.report import tables
from nanogen_bench.report.columns import CLASSES, TEXTS, Column
from nanogen_bench.report.families import Mark
from nanogen_bench.report.markup import Content, Markup, element
from nanogen_bench.report.page_data import FAMILY, NOTE, PageData
from nanogen_bench.report.rank_changes import ranks
from nanogen_bench.report.scales import number
from nanogen_bench.report.tables import Head
from nanogen_files.errors import counted

ID = "models"
UNRANKED = float("inf")
ARROWS = "↓: lower is better; ↑: higher is better. Bold: the best of a column."


@frozen
class Board:
    """Data of the leaderboard table."""

    data: PageData
    marks: Mapping[str, Mark]
    ranks: Mapping[str, Mapping[str, float]]  # task -> model -> mean rank
    best: Mapping[str, float | None]  # column -> best value


def leaderboard(data: PageData, marks: Mapping[str, Mark]) -> list[Content]:
    """Build the leaderboard section: a filter, and the table, sorted by mean rank on the first task.

    Args:
        data: Data of the page.
        marks: Mark of each family.
    """
    ranks_by_task = {task: found for task in (CLASSES, TEXTS) if (found := mean_ranks(data, task))}
    board = Board(data, marks, ranks_by_task, {column.name: _best(data, column) for column in data.columns})
    first = next(iter(ranks_by_task.values()), {})
    order = sorted(data.table.rows, key=lambda row: first.get(data.model(row), UNRANKED))
    rows = [_row(board, row) for row in order]
    return [
        _filter(data, marks),
        tables.table(_heads(board), rows, caption=_caption(board), above=_above(board), sort_id=ID),
    ]


def mean_ranks(data: PageData, task: str) -> dict[str, float]:
    """Return the mean rank of each model over the compared columns of a task.

    Models that lack a score are left out.
    """
    compared = [column for column in data.compared if column.task == task]
    values = {data.model(row): [column.value(row) for column in compared] for row in data.table.rows}
    complete = {model: [v for v in found if v is not None] for model, found in values.items() if None not in found}
    if not compared or not complete:
        return {}
    by_column = [
        ranks(list(one), lower=c.lower) for c, one in zip(compared, zip(*complete.values(), strict=True), strict=True)
    ]
    by_model = zip(complete, zip(*by_column, strict=True), strict=True)
    return {model: sum(found) / len(found) for model, found in by_model}


def _best(data: PageData, column: Column) -> float | None:
    values = [value for row in data.table.rows if (value := column.value(row)) is not None]
    if column.direction is None or len(set(values)) < 2:
        return None
    return min(values) if column.lower else max(values)


# -- the table ---------------------------------------------------------------------------------------------------


def _above(board: Board) -> Markup:
    """Header row with the task of each column."""
    tasks = [(task, len(list(found))) for task, found in groupby(board.data.columns, key=lambda column: column.task)]
    return element(
        "tr",
        element("td", colspan=2 if board.marks else 1),
        element("th", "Mean rank", scope="colgroup", colspan=len(board.ranks)) if board.ranks else None,
        [element("th", task, scope="colgroup", colspan=count) for task, count in tasks],
    )


def _heads(board: Board) -> list[Head]:
    names = ["Model", "Family"] if board.marks else ["Model"]
    mean_ranks = [
        Head(task, best_first="ascending", sorted="none" if i else "ascending") for i, task in enumerate(board.ranks)
    ]
    scores = [
        Head(
            _title(column),
            best_first="ascending" if column.lower else "descending",
        )
        for column in board.data.columns
    ]
    return [*(Head(name, text=True, best_first="ascending") for name in names), *mean_ranks, *scores]


def _title(column: Column) -> list[Content]:
    """Title with an arrow, breakable only between words, and the column's name in the file if it differs."""
    shown = f"{column.title}\N{NO-BREAK SPACE}{column.arrow}".rstrip().replace("-", "\N{NON-BREAKING HYPHEN}")
    return [shown, element("small", column.name) if column.name != column.title else None]


def _row(board: Board, row: Row) -> Markup:
    model, note = board.data.model(row), row.get(NOTE)
    family = row[FAMILY] if board.marks else None
    return element(
        "tr",
        tables.name(model, element("span", f"† {note}", class_="note") if note else None),
        _family(board.marks[family], family) if family is not None else None,
        [tables.figure(found.get(model), 1) for found in board.ranks.values()],
        [_score(board, column, row) for column in board.data.columns],
        data_family=family,
    )


def _family(mark: Mark, family: str) -> Markup:
    return element("td", mark.icon(), " ", element("bdi", family or "none"), class_="text family")


def _score(board: Board, column: Column, row: Row) -> Markup:
    value, spread = column.value(row), column.spread(row)
    below = None if spread is None else f"± {number(spread, column.decimals)}"
    return tables.figure(
        value, column.decimals, best=value is not None and value == board.best[column.name], below=below
    )


def _caption(board: Board) -> str:
    data = board.data
    count = len(data.table.rows)
    parts = [f"{count} model{'s' * (count != 1)}. {ARROWS}"]
    for task in board.ranks:
        titles = [column.title for column in data.compared if column.task == task]
        parts.append(f"Mean rank, {task.lower()}: over {'; '.join(titles)} (1 is best).")
    if any(column.spread(row) is not None for column in data.columns for row in data.table.rows):
        parts.append("±: standard deviation over seeds.")
    if any(row.get(NOTE) for row in data.table.rows):
        parts.append("†: settings differ from most models, as noted.")
    return " ".join(parts)


# -- the filter --------------------------------------------------------------------------------------------------


def _filter(data: PageData, marks: Mapping[str, Mark]) -> Markup:
    """Filter form. The script of the page makes it visible."""
    boxes = [_box(family, mark) for family, mark in marks.items()]
    return element(
        "form",
        element("label", "Find ", element("input", type="search", name="find", autocomplete="off")),
        element("fieldset", element("legend", "Family"), boxes) if len(boxes) > 1 else None,
        element("output", counted(len(data.table.rows), "model")),
        class_="filter",
        data_table=ID,
        hidden=True,
        aria_label="Filter of the models",
    )


def _box(family: str, mark: Mark) -> Markup:
    box = element("input", type="checkbox", name="family", value=family, checked=True)
    return element("label", box, mark.icon(), element("bdi", family or "none"))
