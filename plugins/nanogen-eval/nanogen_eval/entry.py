"""Score entries. An entry has the JSON values of one score for one seed. A `Score` combines all seeds."""

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
from nanogen_files.errors import counted

Entry = Mapping[str, Any]


def entries(name: str, metric: Metric, source: Source, bootstrap: BootstrapConfig, tick: Tick) -> Iterator[Entry]:
    """Compute the scores of a metric and yield an entry for each.

    Args:
        name: Component name of the metric.
        metric: The metric, updated with all images of the source.
        source: The images.
        bootstrap: Options of the intervals.
        tick: Called after each resampling.

    Raises:
        NanoGenError: The metric returns no score, or one that is not finite.
    """
    count = len(source.requests.indices)
    values = metric.compute()
    if not values:
        raise NanoGenError(
            f"The metric {name!r} returns no score for {counted(count, 'image')}: evaluate more images, or check the"
            " metric."
        )
    resamples = intervals.resample(metric, draws=bootstrap.draws, tick=tick)
    for score, value in values.items():
        if not math.isfinite(value):
            raise NanoGenError(
                f"The metric {name!r} returns {score} = {value} for {counted(count, 'image')}. A score must be finite:"
                " check the images, or evaluate more of them."
            )
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
    """Return the settings that a score depends on: metric settings, image settings, hashes of the metric's files."""
    hashes = contents.of(metric, state=False)
    return {"metric_settings": dict(metric.settings), **({"contents": hashes} if hashes else {}), **source.settings}


def combined(
    passes: Sequence[Sequence[Entry]], seeds: tuple[int, ...], bootstrap: BootstrapConfig, about: Mapping[str, Any]
) -> list[Score]:
    """Combine passes over several seeds into scores.

    Args:
        passes: For each seed, the entries of all scores. Every seed has the same order of scores.
        seeds: The sampling seeds; empty for existing images.
        bootstrap: Options of the intervals.
        about: Values to store in `Score.about`.

    Raises:
        NanoGenError: Two scores have the same name.
    """
    refuse_twice([entry["metric"] for entry in passes[0]])
    return [_score(column, seeds, bootstrap.level, about) for column in zip(*passes, strict=True)]


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
    """Return the notes of a metric about its last score, such as a warning that few images bias it."""
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
