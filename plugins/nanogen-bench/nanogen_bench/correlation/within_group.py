"""Correlation within groups of models, as agreements (see `results`)."""

from __future__ import annotations

import numpy as np

from nanogen_bench.correlation.coefficients import Resampled
from nanogen_bench.correlation.fisher import fisher
from nanogen_bench.correlation.groupings import Grouping
from nanogen_bench.correlation.influence import FEWEST_MODELS
from nanogen_bench.correlation.results import WithinGroup


def within_groups(pearson: Resampled, units: Grouping, sign: int) -> list[WithinGroup]:
    """Return the agreement within each group of at least 4 models.

    Groups with a constant column are left out.

    Args:
        pearson: Pearson's r of the pair of columns.
        units: The groups.
        sign: +1 or -1. `sign * r` is the agreement.
    """
    agreement = sign * pearson.counted(units.members)
    sizes = units.members.sum(axis=1).astype(int)
    return [
        _within(units, at, float(agreement[at]), int(sizes[at]))
        for at in range(len(units.groups))
        if sizes[at] >= FEWEST_MODELS and np.isfinite(agreement[at])
    ]


def _within(units: Grouping, at: int, agreement: float, n: int) -> WithinGroup:
    bounds = fisher("pearson", agreement, n)
    return WithinGroup(
        over=units.name, group=units.groups[at], n=n, agreement=agreement, low=bounds.low, high=bounds.high
    )
