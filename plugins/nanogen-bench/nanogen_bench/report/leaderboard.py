"""All models with all their scores on both tasks, and their rank on either."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby

from attrs import frozen

from nanogen_bench.correlation.table import Row
from nanogen_bench.report import tables
from nanogen_bench.report.columns import CLASSES, TEXTS, Column
from nanogen_bench.report.families import Mark
from nanogen_bench.report.markup import Content, Markup, element
from nanogen_bench.report.rank_changes import ranks
from nanogen_bench.report.scales import number
from nanogen_bench.report.subject import FAMILY, NOTE, Subject
from nanogen_bench.report.tables import Head

ID = "models"
UNRANKED = float("inf")
ARROWS = "↓: lower is better; ↑: higher is better. Bold: the best of a column."


@frozen
class Board:
    """What the cells of a row read: `places` has the mean rank of each model on each task."""

    subject: Subject
    marks: Mapping[str, Mark]
    places: Mapping[str, Mapping[str, float]]
    best: Mapping[str, float | None]


def leaderboard(subject: Subject, marks: Mapping[str, Mark]) -> list[Content]:
    """The section's content: the filter, which a script shows, and the table, by the first task's rank."""
    places = {task: found for task in (CLASSES, TEXTS) if (found := mean_ranks(subject, task))}
    board = Board(subject, marks, places, {column.name: _best(subject, column) for column in subject.columns})
    first = next(iter(places.values()), {})
    order = sorted(subject.table.rows, key=lambda row: first.get(subject.model(row), UNRANKED))
    rows = [_row(board, row) for row in order]
    return [
        _filter(subject, marks),
        tables.table(_heads(board), rows, caption=_caption(board), above=_above(board), sort_id=ID),
    ]


def mean_ranks(subject: Subject, task: str) -> dict[str, float]:
    """Model -> the mean of its ranks over the task's compared columns, for models that have all of them."""
    compared = [column for column in subject.compared if column.task == task]
    values = {subject.model(row): [column.value(row) for column in compared] for row in subject.table.rows}
    whole = {model: [v for v in found if v is not None] for model, found in values.items() if None not in found}
    if not compared or not whole:
        return {}
    placed = [
        ranks(list(one), lower=c.lower) for c, one in zip(compared, zip(*whole.values(), strict=True), strict=True)
    ]
    return {model: sum(found) / len(found) for model, found in zip(whole, zip(*placed, strict=True), strict=True)}


def _best(subject: Subject, column: Column) -> float | None:
    values = [value for row in subject.table.rows if (value := column.value(row)) is not None]
    if column.direction is None or len(set(values)) < 2:
        return None
    return min(values) if column.lower else max(values)


# -- the table ---------------------------------------------------------------------------------------------------


def _above(board: Board) -> Markup:
    """Which columns are of which task."""
    tasks = [(task, len(list(found))) for task, found in groupby(board.subject.columns, key=lambda column: column.task)]
    return element(
        "tr",
        element("td", colspan=2 if board.marks else 1),
        element("th", "Mean rank", scope="colgroup", colspan=len(board.places)) if board.places else None,
        [element("th", task, scope="colgroup", colspan=count) for task, count in tasks],
    )


def _heads(board: Board) -> list[Head]:
    names = ["Model", "Family"] if board.marks else ["Model"]
    places = [
        Head(task, best_first="ascending", sorted="none" if i else "ascending") for i, task in enumerate(board.places)
    ]
    scores = [
        Head(
            _title(column),
            best_first="ascending" if column.lower else "descending",
        )
        for column in board.subject.columns
    ]
    return [*(Head(name, text=True, best_first="ascending") for name in names), *places, *scores]


def _title(column: Column) -> list[Content]:
    """The title with its arrow, broken between words alone, and the column's name in the file where it is another."""
    shown = f"{column.title}\N{NO-BREAK SPACE}{column.arrow}".rstrip().replace("-", "\N{NON-BREAKING HYPHEN}")
    return [shown, element("small", column.name) if column.name != column.title else None]


def _row(board: Board, row: Row) -> Markup:
    model, note = board.subject.model(row), row.get(NOTE)
    family = row[FAMILY] if board.marks else None
    return element(
        "tr",
        tables.name(model, element("span", f"† {note}", class_="note") if note else None),
        _family(board.marks[family], family) if family is not None else None,
        [tables.figure(found.get(model), 1) for found in board.places.values()],
        [_score(board, column, row) for column in board.subject.columns],
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
    subject = board.subject
    count = len(subject.table.rows)
    told = [f"{count} model{'s' * (count != 1)}. {ARROWS}"]
    for task in board.places:
        titles = [column.title for column in subject.compared if column.task == task]
        told.append(f"Mean rank, {task.lower()}: over {'; '.join(titles)} (1 is best).")
    if any(column.spread(row) is not None for column in subject.columns for row in subject.table.rows):
        told.append("±: standard deviation over seeds.")
    if any(row.get(NOTE) for row in subject.table.rows):
        told.append("†: measured otherwise than most models of the table, in what the note says.")
    return " ".join(told)


# -- the filter --------------------------------------------------------------------------------------------------


def _filter(subject: Subject, marks: Mapping[str, Mark]) -> Markup:
    """Hidden until the script that it needs is there."""
    boxes = [_box(family, mark) for family, mark in marks.items()]
    return element(
        "form",
        element("label", "Find ", element("input", type="search", name="find", autocomplete="off")),
        element("fieldset", element("legend", "Family"), boxes) if len(boxes) > 1 else None,
        element("output", f"{len(subject.table.rows)} models"),
        class_="filter",
        data_table=ID,
        hidden=True,
        aria_label="Filter of the models",
    )


def _box(family: str, mark: Mark) -> Markup:
    box = element("input", type="checkbox", name="family", value=family, checked=True)
    return element("label", box, mark.icon(), element("bdi", family or "none"))
