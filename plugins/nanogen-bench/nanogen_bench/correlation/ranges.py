"""The chosen models against all: how much of a correlation is the spread of the models that enter it."""

from __future__ import annotations

import math

from scipy import stats

from nanogen_bench.correlation.coefficients import Floats
from nanogen_bench.correlation.results import RangeView

Columns = tuple[Floats, Floats]  # x and y


def range_view(chosen: Columns, everyone: Columns, turn: int) -> RangeView:
    """x and y of the chosen models ([n], [n]) and of all; `turn` makes an agreement of a raw correlation."""
    x, x_all = chosen[0], everyone[0]
    here, there = (float(stats.pearsonr(*sides).statistic) for sides in (chosen, everyone))
    ratio = float(x_all.std(ddof=1) / x.std(ddof=1))
    return RangeView(
        n=len(x),
        n_all=len(x_all),
        spread=float(x.std(ddof=1)),
        spread_all=float(x_all.std(ddof=1)),
        low=float(x.min()),
        high=float(x.max()),
        low_all=float(x_all.min()),
        high_all=float(x_all.max()),
        pearson_all=there,
        agreement_all=turn * there,
        corrected=turn * thorndike(here, ratio),
        expected=turn * thorndike(there, 1 / ratio),
    )


def thorndike(r: float, ratio: float) -> float:
    """r where x has `ratio` times the spread: r u / sqrt(1 + r^2 (u^2 - 1)) (Thorndike 1949, case 2).

    It holds for one straight line with the same scatter about it everywhere, and for models that were chosen by x: an
    indication here, since families were chosen, not values of x.
    """
    return r * ratio / math.sqrt(1 + r**2 * (ratio**2 - 1))
