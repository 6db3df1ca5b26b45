"""Models: all runs of one name, with the mean and standard deviation of each score over seeds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence

from attrs import field, frozen

from nanogen_bench.collected.entries import Entry, seedless
from nanogen_eval.score import Score
from nanogen_eval.table import footnotes


@frozen(kw_only=True)
class Mean:
    """Scores of one model in one column of a table. Each run gives one score."""

    column: str
    metric: str
    task: str
    seeds: tuple[int, ...]  # training seeds of the runs
    scores: tuple[Score, ...]

    @property
    def value(self) -> float:
        """Mean over runs."""
        return math.fsum(score.value for score in self.scores) / len(self.scores)

    @property
    def spread(self) -> float | None:
        """Sample standard deviation over runs; None for fewer than two."""
        values = [score.value for score in self.scores]
        return statistics.stdev(values) if len(values) > 1 else None

    @property
    def common(self) -> Score:
        """First score, without its sampling seeds. Its settings and direction stand for all runs."""
        return seedless(self.scores[0])


@frozen(kw_only=True)
class Model:
    """One model: a row of a table.

    Each of `notes` says how the settings or the number of runs differ from most models, and in which columns.
    """

    name: str
    family: str
    tokenizer: str
    runs: tuple[Entry, ...]
    means: Mapping[str, Mean]
    notes: tuple[str, ...] = field(default=())


def models(entries: Sequence[Entry]) -> list[Model]:
    """Group runs into models by name, in order of first appearance.

    `Model.notes` compares each model with the others.
    """
    by_name: dict[str, list[Entry]] = {}
    for entry in entries:
        by_name.setdefault(entry.model, []).append(entry)
    columns = _columns(entries)
    means = {name: _means(runs, columns) for name, runs in by_name.items()}
    notes = _notes(means)
    return [
        Model(
            name=name,
            family=runs[0].family,
            tokenizer=runs[0].tokenizer,
            runs=tuple(runs),
            means=means[name],
            notes=tuple(notes.get(name, ())),
        )
        for name, runs in by_name.items()
    ]


def _columns(entries: Sequence[Entry]) -> dict[tuple[str, str], str]:
    """(task, metric) -> column. The column is the metric's name, with the task if both tasks have the metric."""
    pairs = dict.fromkeys((entry.task, metric) for entry in entries for metric in entry.scores)
    tasks = {metric: {t for t, m in pairs if m == metric} for _, metric in pairs}
    return {(task, metric): metric if len(tasks[metric]) == 1 else f"{metric}_{task}" for task, metric in pairs}


def _means(runs: Sequence[Entry], columns: Mapping[tuple[str, str], str]) -> dict[str, Mean]:
    found = {}
    for (task, metric), column in columns.items():
        scored = [run for run in runs if run.task == task and metric in run.scores]
        if scored:
            found[column] = Mean(
                column=column,
                metric=metric,
                task=task,
                seeds=tuple(run.seed for run in scored),
                scores=tuple(run.scores[metric] for run in scored),
            )
    return found


def _notes(means: Mapping[str, Mapping[str, Mean]]) -> dict[str, list[str]]:
    """Model -> notes. Each note names the columns that it applies to."""
    columns_of: dict[str, dict[str, list[str]]] = {}  # model -> note -> columns
    for column in dict.fromkeys(column for row in means.values() for column in row):
        for name, note in _differences(means, column):
            columns = columns_of.setdefault(name, {}).setdefault(note, [])
            columns += [column] if column not in columns else []
    return {
        name: [f"{_which(columns, means[name])}: {note}" for note, columns in notes.items()]
        for name, notes in columns_of.items()
    }


def _differences(means: Mapping[str, Mapping[str, Mean]], column: str) -> Iterator[tuple[str, str]]:
    """Yield (model, note) for scores of a column whose settings or number of runs differ from most models."""
    rows = [(name, score) for name, row in means.items() if column in row for score in row[column].scores]
    for (name, _), note in zip(rows, footnotes([seedless(score) for _, score in rows]), strict=True):
        if note:
            yield name, note
    counts = {name: len(row[column].scores) for name, row in means.items() if column in row}
    usual = statistics.mode(counts.values())
    yield from ((name, f"runs {count} in place of {usual}") for name, count in counts.items() if count != usual)


def _which(columns: Sequence[str], row: Mapping[str, Mean]) -> str:
    return "every score" if len(columns) == len(row) > 1 else ", ".join(columns)
