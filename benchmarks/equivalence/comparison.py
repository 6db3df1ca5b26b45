"""Comparison of losses with recorded ones, in standard errors of the difference of their means."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from statistics import fmean, variance

from attrs import frozen

from benchmarks.equivalence.curve import Curve, Moments
from benchmarks.equivalence.training import Losses

LIMIT = 3.0  # standard errors


@frozen
class Point:
    """Comparison at one recorded step, for the model or its EMA."""

    weights: str
    step: int
    ours: float
    published: float
    error: float  # standard error of the difference of the two means

    @property
    def distance(self) -> float:
        """Difference in standard errors."""
        return (self.ours - self.published) / self.error

    @property
    def holds(self) -> bool:
        return abs(self.distance) <= LIMIT  # false for NaN


def compare(curve: Curve, runs: Sequence[Losses]) -> list[Point]:
    """Return the points of all steps of the runs, those of the model first."""
    return [*_points(curve, "student", curve.student, runs), *_points(curve, "average", curve.average, runs)]


def _points(curve: Curve, weights: str, published: Moments, runs: Sequence[Losses]) -> Iterator[Point]:
    by_step = list(zip(*(run[weights] for run in runs), strict=True))  # the runs' losses at each step
    for place, ours in enumerate(by_step):
        error = standard_error(ours, published.sd[place], curve.seeds)
        yield Point(weights, curve.steps[place], fmean(ours), published.mean[place], error)


def standard_error(ours: Sequence[float], sd: float, count: int) -> float:
    """Return the standard error of the difference of two means.

    Variances are pooled (Student's two-sample test), because equivalent trainings have the same distribution.

    Args:
        values: Our values. A single value contributes no variance.
        sd: Standard deviation of the recorded values.
        count: Number of recorded values.
    """
    own = variance(ours) * (len(ours) - 1) if len(ours) > 1 else 0.0
    pooled = (own + sd**2 * (count - 1)) / (len(ours) + count - 2)
    return math.sqrt(pooled * (1 / len(ours) + 1 / count))
