"""Tables of models or of runs, as CSV text. `nanogen bench correlate` reads tables of models."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from nanogen_bench.collected.entries import Entry
from nanogen_bench.collected.models import Model

ABOUT = ("model", "family", "tokenizer")
SPREAD = "{}_sd"

Row = Mapping[str, Any]


def model_rows(models: Sequence[Model]) -> list[Row]:
    """Return one row per model: means and standard deviations over runs, numbers of runs and samples, notes."""
    columns = dict.fromkeys(column for model in models for column in model.means)
    return [_model_row(model, list(columns)) for model in models]


def run_rows(entries: Sequence[Entry], facts: Mapping[Any, Row] = {}) -> list[Row]:
    """Return one row per run.

    Args:
        entries: The runs.
        facts: Cells of additional columns, by run folder.
    """
    metrics = dict.fromkeys(metric for entry in entries for metric in entry.scores)
    return [_run_row(entry, list(metrics), facts.get(entry.folder, {})) for entry in entries]


def text(rows: Sequence[Row]) -> str:
    """Return the rows as CSV text. Numbers have all digits; missing values are empty."""
    columns = dict.fromkeys(column for row in rows for column in row)
    file = io.StringIO()
    writer = csv.DictWriter(file, list(columns), lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def _model_row(model: Model, columns: Sequence[str]) -> Row:
    means = [(column, model.means.get(column)) for column in columns]
    values = {column: None if mean is None else mean.value for column, mean in means}
    spreads = {SPREAD.format(column): mean.spread for column, mean in means if mean and mean.spread is not None}
    return {
        **dict(zip(ABOUT, (model.name, model.family, model.tokenizer), strict=True)),
        **values,
        **spreads,
        "seeds": _counts(len(mean.scores) for _, mean in means if mean),
        "n": _counts(score.n for _, mean in means if mean for score in mean.scores),
        "note": "; ".join(model.notes),
    }


def _run_row(entry: Entry, metrics: Sequence[str], facts: Row) -> Row:
    return {
        **dict(zip(ABOUT, (entry.model, entry.family, entry.tokenizer), strict=True)),
        "task": entry.task,
        "seed": entry.seed,
        **{metric: entry.scores[metric].value if metric in entry.scores else None for metric in metrics},
        "n": _counts(score.n for score in entry.scores.values()),
        **facts,
    }


def _counts(numbers: Any) -> str:
    """`"512"`, or `"512/1024"` for different numbers."""
    return "/".join(map(str, sorted(set(numbers))))
