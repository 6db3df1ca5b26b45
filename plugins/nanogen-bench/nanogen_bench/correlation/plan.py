"""What holds for every pair of a study: which models enter, which way the columns point, what is drawn."""

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
    table: Table  # all rows
    chosen: Table
    directions: Mapping[str, str]
    groups: Mapping[str, Mapping[str, str]]  # grouping -> model -> group
    draws: int
    seed: int

    def sign(self, column: str) -> int:
        """+1 where a higher value is better, -1 where a lower one is."""
        return sign(self.directions[column])

    def units(self, models: Sequence[str]) -> list[Grouping]:
        """What resamples are drawn from: the models, then the groups of every grouping."""
        by = [grouping(name, [group[model] for model in models]) for name, group in self.groups.items()]
        return [grouping(MODELS, models), *by]

    def columns(self, *names: str) -> tuple[tuple[str, ...], list[Floats]]:
        """The chosen models that have all of these columns, and the columns of these models [n].

        Raises DataError where fewer than 4 have, or a column is constant over them.
        """
        models, columns = complete(self.chosen, *names)
        if len(models) < FEWEST_MODELS:
            have = "has" if len(models) == 1 else "have"
            raise DataError(
                f"Of the {len(self.chosen.rows)} chosen models {len(models)} {have} {' and '.join(names)}; "
                f"a correlation needs at least {FEWEST_MODELS}."
            )
        for name, values in zip(names, columns, strict=True):
            if np.ptp(values) == 0:
                raise DataError(f"{name} is {values[0]:g} for all {len(models)} models: nothing can go with it.")
        return models, columns

    def bootstrapped(self, statistic: Statistic, units: Sequence[Grouping], turn: int) -> list[Interval]:
        """One interval for each kind of unit; `turn` makes an agreement of the statistic."""
        found = [bca(statistic, by, draws=self.draws, seed=self.seed) for by in units]
        return [interval("bca", by, bounds, turn) for by, bounds in zip(units, found, strict=True)]


def complete(table: Table, *names: str) -> tuple[tuple[str, ...], list[Floats]]:
    """The models of a table that have all of these columns, and the columns of these models."""
    numbers = [table.numbers(name) for name in names]
    rows = np.flatnonzero(np.isfinite(numbers).all(axis=0))
    return tuple(table.models[row] for row in rows), [column[rows] for column in numbers]


def interval(method: str, over: Grouping, bounds: Bounds, turn: int) -> Interval:
    ends = (bounds.low, bounds.high) if turn > 0 else (bounds.high, bounds.low)
    low, high = (None if end is None else turn * end for end in ends)
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
