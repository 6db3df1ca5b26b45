"""Settings that all pairs of a study share: models, directions, groups, resampling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from attrs import frozen

from nanogen_bench.correlation.coefficients import Floats
from nanogen_bench.correlation.directions import sign
from nanogen_bench.correlation.groupings import MODELS, Grouping, grouping
from nanogen_bench.correlation.influence import FEWEST_MODELS
from nanogen_bench.correlation.resampling import LEVEL, Bounds, Statistic, bca
from nanogen_bench.correlation.results import Interval
from nanogen_bench.correlation.table import Table
from nanogen_core.errors import DataError


@frozen(kw_only=True)
class StudyPlan:
    """Settings of a study.

    Attributes:
        table: All rows.
        chosen: Rows that meet the conditions.
        directions: Column -> `"lower"` or `"higher"`.
        groups: Name of a grouping -> model -> group.
        draws: Number of draws of each bootstrap, and maximum number of permutations.
        seed: Seed of draws and permutations.
    """

    table: Table
    chosen: Table
    directions: Mapping[str, str]
    groups: Mapping[str, Mapping[str, str]]
    draws: int
    seed: int

    def sign(self, column: str) -> int:
        """Return +1 if higher values of a column are better, -1 if lower values are."""
        return sign(self.directions[column])

    def units(self, models: Sequence[str]) -> list[Grouping]:
        """Return the units of resampling: single models first, then each grouping."""
        by = [grouping(name, [group[model] for model in models]) for name, group in self.groups.items()]
        return [grouping(MODELS, models), *by]

    def columns(self, *names: str) -> tuple[tuple[str, ...], list[Floats]]:
        """Return the chosen models that have values in all given columns, and an array [n] of values for each column.

        Raises:
            DataError: A column is missing, not numeric or constant, or fewer than 4 models have all values.
        """
        models, columns = complete(self.chosen, *names)
        if len(models) < FEWEST_MODELS:
            have = "has" if len(models) == 1 else "have"
            raise DataError(
                f"{len(models)} of the {len(self.chosen.rows)} chosen models {have} {' and '.join(names)}. A"
                f" correlation needs at least {FEWEST_MODELS} models. Evaluate more models, or relax --where."
            )
        for name, values in zip(names, columns, strict=True):
            if np.ptp(values) == 0:
                raise DataError(
                    f"{name} is {values[0]:g} for all {len(models)} models, so it has no correlation. Leave it out."
                )
        return models, columns

    def bootstrapped(self, statistic: Statistic, units: Sequence[Grouping], sign: int) -> list[Interval]:
        """Return one bootstrap interval per element of `units`.

        Args:
            statistic: Function from draw counts [resamples, models] to values [resamples].
            units: Units of resampling: single models, or groups of models.
            sign: +1 or -1. `sign` times the statistic is the agreement, or the difference of two agreements.
        """
        found = [bca(statistic, by, draws=self.draws, seed=self.seed) for by in units]
        return [interval("bca", by, bounds, sign) for by, bounds in zip(units, found, strict=True)]


def complete(table: Table, *names: str) -> tuple[tuple[str, ...], list[Floats]]:
    """Return the models that have values in all given columns, and an array [n] of values for each column."""
    numbers = [table.numbers(name) for name in names]
    rows = np.flatnonzero(np.isfinite(numbers).all(axis=0))
    return tuple(table.models[row] for row in rows), [column[rows] for column in numbers]


def interval(method: str, over: Grouping, bounds: Bounds, sign: int) -> Interval:
    """Make an `Interval` from the bounds of a statistic. `sign` (+1 or -1) converts the statistic to an agreement."""
    ends = (bounds.low, bounds.high) if sign > 0 else (bounds.high, bounds.low)
    low, high = (None if end is None else sign * end for end in ends)
    return Interval(
        method=method,
        over=over.name,
        units=len(over.groups),
        low=bounds.low,
        high=bounds.high,
        agreement_low=low,
        agreement_high=high,
        level=LEVEL,
        reason=bounds.reason,
    )
