"""Perturbations of an experiment: do its correlations hold with other seeds, learning rates, batch sizes or EMAs?

A *retraining* trains all methods with one perturbation (or none) and one seed. It gives one correlation over the
methods. The spread of these correlations is compared with the unperturbed experiment's bootstrap interval over methods.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nanogen_bench.collected.entries import Entry
from nanogen_bench.collected.models import Model, models
from nanogen_bench.correlation.coefficients import RESAMPLED
from nanogen_bench.correlation.directions import sign
from nanogen_bench.correlation.results import Study
from nanogen_bench.mini.plan import NONE, ExperimentPlan
from nanogen_bench.report.perturbations import FILE
from nanogen_files import storage
from nanogen_files.errors import counted

FEWEST = 4  # methods of a correlation


def write(
    plan: ExperimentPlan, output: Path, entries: Mapping[str, Sequence[Entry]], studies: Mapping[str, Study]
) -> Iterator[str]:
    """Write the correlations of all retrainings, their spread, and the unperturbed experiment's bootstrap interval.

    Args:
        plan: The plan, with its perturbations.
        output: Folder of the experiment.
        entries: Finished runs by perturbation; `NONE` for the unperturbed ones.
        studies: Studies of the unperturbed experiment, by x column.

    Yields:
        Lines of the summary.
    """
    found = [_pair(x, y, plan, entries, studies.get(x)) for x in plan.x for y in plan.y]
    storage.write_json(output / FILE, {"perturbations": [NONE, *plan.perturbations], "pairs": found})
    yield from (line for pair in found if (line := _summary(pair)))


def _pair(
    x: str, y: str, plan: ExperimentPlan, entries: Mapping[str, Sequence[Entry]], study: Study | None
) -> dict[str, Any]:
    """Return the agreements of all retrainings for one pair of columns."""
    retrainings = [
        {"perturbation": name, "seed": seed, **_agreement(x, y, [one for one in found if one.seed == seed])}
        for name, found in entries.items()
        for seed in plan.seeds
    ]
    values = [one["spearman"] for one in retrainings if one["spearman"] is not None]
    pair = next((pair for pair in study.pairs if pair.y == y), None) if study is not None else None
    interval = None if pair is None else pair.coefficient("spearman").interval("models")
    return {
        "x": x,
        "y": y,
        "retrainings": retrainings,
        "mean": statistics.fmean(values) if values else None,
        "sd": statistics.stdev(values) if len(values) > 1 else None,
        "lowest": min(values, default=None),
        "highest": max(values, default=None),
        "by_perturbation": _means(retrainings),
        "bootstrap": None if interval is None else [interval.agreement_low, interval.agreement_high],
        "estimate": None if pair is None else pair.coefficient("spearman").agreement,
    }


def _agreement(x: str, y: str, entries: Sequence[Entry]) -> dict[str, Any]:
    """Return the agreements of two columns over the methods, from one run of each method and task."""
    rows = models(entries)
    both = [row for row in rows if x in row.means and y in row.means]
    if len(both) < FEWEST:
        return {"n": len(both), **dict.fromkeys(RESAMPLED)}
    directions = _sign(both[0], x) * _sign(both[0], y)
    columns = [[row.means[name].value for row in both] for name in (x, y)]
    if any(max(column) == min(column) for column in columns):
        return {"n": len(both), **dict.fromkeys(RESAMPLED)}
    return {"n": len(both), **{name: directions * _estimate(kind, columns) for name, kind in RESAMPLED.items()}}


def _estimate(kind: Any, columns: Sequence[Sequence[float]]) -> float:
    return float(kind(*map(np.asarray, columns)).estimate)


def _sign(row: Model, column: str) -> int:
    return sign("higher" if row.means[column].common.higher_is_better else "lower")


def _means(retrainings: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return the mean Spearman agreement of each perturbation over its seeds."""
    names = dict.fromkeys(one["perturbation"] for one in retrainings)
    values = {name: [r["spearman"] for r in retrainings if r["perturbation"] == name] for name in names}
    known = {name: [value for value in found if value is not None] for name, found in values.items()}
    return {name: statistics.fmean(found) for name, found in known.items() if found}


def _summary(pair: Mapping[str, Any]) -> str | None:
    if pair["sd"] is None or not math.isfinite(pair["sd"]):
        return None
    bootstrap = pair["bootstrap"]
    known = bootstrap is not None and None not in bootstrap
    interval = f"; bootstrap interval {bootstrap[0]:.2f} to {bootstrap[1]:.2f}" if known else ""
    count = sum(one["spearman"] is not None for one in pair["retrainings"])
    return (
        f"{pair['x']} and {pair['y']} over {counted(count, 'retraining')}: Spearman {pair['mean']:.2f}, standard"
        f" deviation {pair['sd']:.2f}, from {pair['lowest']:.2f} to {pair['highest']:.2f}{interval}."
    )
