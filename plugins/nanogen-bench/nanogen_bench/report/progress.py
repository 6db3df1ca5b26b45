"""Section of the scores during training (`train.evaluate`): one plot for each score."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path

from nanogen_bench.audit.lines import Series
from nanogen_bench.report.curves import curves
from nanogen_bench.report.markup import Content, element
from nanogen_core.errors import DataError
from nanogen_files import json_files
from nanogen_train.logging import metrics_log

PREFIX = "score."
BEST = Path("best") / "selection.json"

Scores = Mapping[str, Mapping[str, Series]]  # run -> score -> curve


def curves_of(log: Path) -> dict[str, Series]:
    """Return the scores during training, by name. If a step was logged again, its last value counts.

    Args:
        log: `log.jsonl` of a run.

    Raises:
        DataError: The log cannot be read.
    """
    by_name: dict[str, dict[int, float]] = {}
    for entry in metrics_log.read(log.parent):
        for name, value in entry.items():
            if name.startswith(PREFIX) and isinstance(value, (int, float)):
                by_name.setdefault(name.removeprefix(PREFIX), {})[entry["step"]] = float(value)
    return {name: sorted(points.items()) for name, points in by_name.items()}


def selection(file: Path) -> str:
    """Return a sentence on the checkpoint that a score selected.

    Args:
        file: `best/selection.json` of a run.

    Raises:
        DataError: The file is damaged.
    """
    facts = json_files.read_object(file)
    try:
        count, score, step = facts["candidates"], facts["score"], facts["step"]
    except KeyError as error:
        raise DataError(f"{file}: the key {error} is missing. Repeat the run to write it again.") from error
    return (
        f"the checkpoint of step {step} was selected among {count} by {score}. Its {score} is optimistic,"
        " because the best of several values is also lucky."
    )


def progress(found: Scores, selected: Sequence[str]) -> list[Content]:
    """Build the section of scores during training: notes on selected checkpoints, and the curves of each run."""
    notes = [element("p", sentence, class_="note") for sentence in selected]
    figures = [
        element("figure", element("figcaption", f"{run}: {name}"), drawing) for run, name, drawing in _drawings(found)
    ]
    few = element("p", "Fewer than two evaluations: no curves.") if not figures else None
    return [notes, few, element("div", figures, class_="charts small") if figures else None]


def _drawings(found: Scores) -> Iterator[tuple[str, str, Content]]:
    """Yield each plot. The two tasks of a method and seed share a plot if they have the score in common."""
    for rest, runs in groupby(sorted(found, key=_without_task), key=_without_task):
        members = list(runs)
        names = dict.fromkeys(name for run in members for name in found[run])
        for name in names:
            having = [run for run in members if name in found[run]][:2]
            drawing = curves(name, [found[run][name] for run in having], [run.split("/")[0] for run in having])
            if drawing is not None:
                tasks = " and ".join(run.partition("/")[0] for run in having)
                yield f"{rest}, {tasks}", name, drawing


def _without_task(run: str) -> str:
    return run.partition("/")[2]
