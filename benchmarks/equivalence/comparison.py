"""Our losses against the recorded ones, in standard errors of the difference of their means."""

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
    """One recorded step, of the student or of the averaged weights."""

    weights: str
    step: int
    ours: float
    published: float
    error: float  # standard error of the difference of the two means

    @property
    def distance(self) -> float:
        """The difference in standard errors."""
        return (self.ours - self.published) / self.error

    @property
    def holds(self) -> bool:
        return abs(self.distance) <= LIMIT  # NaN does not


def compare(curve: Curve, runs: Sequence[Losses]) -> list[Point]:
    """The points of all steps that the runs have, student first."""
    return [*_points(curve, "student", curve.student, runs), *_points(curve, "average", curve.average, runs)]


def _points(curve: Curve, weights: str, published: Moments, runs: Sequence[Losses]) -> Iterator[Point]:
    by_step = list(zip(*(run[weights] for run in runs), strict=True))  # the runs' losses at each step
    for place, ours in enumerate(by_step):
        error = standard_error(ours, published.sd[place], curve.seeds)
        yield Point(weights, curve.steps[place], fmean(ours), published.mean[place], error)


def standard_error(ours: Sequence[float], sd: float, count: int) -> float:
    """The standard error of a difference of means: of our values, and of `count` others with deviation `sd`.

    Both sides are one distribution where the training is equivalent, so their variances are pooled (Student's
    two-sample test). A single run of ours has no variance and adds none.
    """
    own = variance(ours) * (len(ours) - 1) if len(ours) > 1 else 0.0
    pooled = (own + sd**2 * (count - 1)) / (len(ours) + count - 2)
    return math.sqrt(pooled * (1 / len(ours) + 1 / count))
