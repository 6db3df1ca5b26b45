"""Results of all cells as rows, and as a CSV file."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks.matrix.order import Record
from benchmarks.matrix.score import DISTANCE

ABOUT = ("task", "method", "network", "sampling_steps")
COST = ("train_steps", "seconds", "parameters", "samples", "seed", "error")
FIGURES = {"train_steps": "steps", "seconds": "seconds", "parameters": "parameters", "seed": "seed"}

Row = dict[str, Any]


def rows(record: Record) -> list[Row]:
    """Return one row per network and number of sampling steps, and a row with the error for a failed cell."""
    about = {"task": record.task, "method": record.name}
    if record.figures is None:
        return [{**about, "error": record.error or "not run"}]
    cost = {column: record.figures[name] for column, name in FIGURES.items()}
    return [{**about, **_scored(row), **_spent(cost, row["network"])} for row in record.figures["scores"]]


def score_columns(records: Iterable[Record]) -> list[str]:
    """Return the names of all scores, the distance last."""
    scores = [row["scores"] for record in records if record.figures for row in record.figures["scores"]]
    names = dict.fromkeys(name for found in scores for name in found)
    return sorted(names, key=lambda name: name == DISTANCE)


def text(records: Sequence[Record]) -> str:
    """Return the rows as CSV text."""
    file = io.StringIO()
    writer = csv.DictWriter(file, [*ABOUT, *score_columns(records), *COST], lineterminator="\n")
    writer.writeheader()
    writer.writerows(row for record in records for row in rows(record))
    return file.getvalue()


def _scored(row: Row) -> Row:
    about = {name: row[name] for name in ("network", "sampling_steps", "samples")}
    return {**about, **row["scores"]}


def _spent(cost: Row, network: str) -> Row:
    """Cost columns of a row: steps and seconds of a trained network, parameters of any network."""
    return {"trained": cost, "untrained": {**cost, "train_steps": 0, "seconds": 0}, "real": {"seed": cost["seed"]}}[
        network
    ]
