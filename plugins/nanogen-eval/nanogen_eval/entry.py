"""What one pass gave for one score, as plain values: it waits in a file until all passes are done."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import Any

import torch

from nanogen_core.errors import NanoGenError
from nanogen_data import contents
from nanogen_eval import intervals
from nanogen_eval.intervals import Resamples, Tick
from nanogen_eval.options import BootstrapConfig
from nanogen_eval.protocols import Metric
from nanogen_eval.score import Score
from nanogen_eval.score_names import refuse_twice
from nanogen_eval.sources import Source

Entry = Mapping[str, Any]


def entries(name: str, metric: Metric, source: Source, certainty: BootstrapConfig, tick: Tick) -> Iterator[Entry]:
    """One entry for each score of a metric that has seen the source. Raises NanoGenError where there is none, or one
    is no number."""
    count = len(source.questions.indices)
    values = metric.compute()
    if not values:
        raise NanoGenError(f"The metric {name!r} gives no score over {count} images: give it more, or others.")
    resamples = intervals.resample(metric, draws=certainty.draws, tick=tick)
    for score, value in values.items():
        if not math.isfinite(value):
            raise NanoGenError(f"The metric {name!r} gives {score} = {value} over {count} images, which is no score.")
        yield {
            "metric": score,
            "component": name,
            "value": value,
            "higher_is_better": metric.higher_is_better,
            "n": count,
            "settings": settings(metric, source),
            "about": {**source.about, **_notes(metric)},
            "resamples": _written(resamples.get(score)),
        }


def settings(metric: Metric, source: Source) -> dict[str, Any]:
    """What a score depends on: how the images came about, what the metric says of itself, and the hashes of what its
    options name, its files and its weights."""
    read = contents.of(metric, state=False)
    return {"judge": dict(metric.settings), **({"contents": read} if read else {}), **source.settings}


def combined(
    passes: Sequence[Sequence[Entry]], seeds: tuple[int, ...], certainty: BootstrapConfig, about: Mapping[str, Any]
) -> list[Score]:
    """The scores of passes that differ in their seed alone. Raises NanoGenError for two scores of one name."""
    refuse_twice([entry["metric"] for entry in passes[0]])
    return [_score(column, seeds, certainty.level, about) for column in zip(*passes, strict=True)]


def _score(column: Sequence[Entry], seeds: tuple[int, ...], level: float, about: Mapping[str, Any]) -> Score:
    first, values = column[0], tuple(entry["value"] for entry in column)
    value = math.fsum(values) / len(values)
    resamples = [_read(entry["resamples"]) for entry in column if entry["resamples"] is not None]
    known = intervals.mean_of(resamples) if len(resamples) == len(column) else None
    versions = {name: version(name) for name in ("nanogen-core", "torch")}
    return Score(
        value=value,
        values=values,
        seeds=seeds,
        interval=None if known is None else intervals.interval(value, known, level),
        about={**first["about"], **about, "versions": versions},
        **{name: first[name] for name in ("metric", "component", "higher_is_better", "n", "settings")},
    )


def _notes(metric: Metric) -> dict[str, list[str]]:
    """What a metric says must stand beside its score: that it is biased by so few images."""
    notes = list(getattr(metric, "notes", ()))
    return {"notes": notes} if notes else {}


def _written(resamples: Resamples | None) -> dict[str, Any] | None:
    if resamples is None:
        return None
    left_out = None if resamples.left_out is None else resamples.left_out.tolist()
    return {"units": resamples.units, "draws": resamples.draws.tolist(), "left_out": left_out}


def _read(stored: Mapping[str, Any]) -> Resamples:
    left_out = None if stored["left_out"] is None else torch.tensor(stored["left_out"], dtype=torch.float64)
    return Resamples(stored["units"], torch.tensor(stored["draws"], dtype=torch.float64), left_out)
