"""Range restriction: how the spread of x over the chosen models affects their correlation."""

from __future__ import annotations

import math

from scipy import stats

from nanogen_bench.correlation.coefficients import Floats
from nanogen_bench.correlation.results import RangeView

Columns = tuple[Floats, Floats]  # x and y


def range_view(chosen: Columns, everyone: Columns, sign: int) -> RangeView:
    """Compare the chosen models with all models: the spread of x, and the correlations.

    Args:
        chosen: x and y of the chosen models, [n] each.
        everyone: x and y of all models that have both.
        sign: +1 or -1. `sign * r` is the agreement.
    """
    x, x_all = chosen[0], everyone[0]
    r, r_all = (float(stats.pearsonr(*sides).statistic) for sides in (chosen, everyone))
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
        pearson_all=r_all,
        agreement_all=sign * r_all,
        corrected=sign * thorndike(r, ratio),
        expected=sign * thorndike(r_all, 1 / ratio),
    )


def thorndike(r: float, ratio: float) -> float:
    """Correct r for another spread of x: r u / sqrt(1 + r^2 (u^2 - 1)) (Thorndike 1949, case 2).

    The formula assumes a linear relation with constant scatter, and selection by x alone. It is only approximate if
    models are selected by something else, such as their family.

    Args:
        r: Correlation at the present spread.
        ratio: u, the new spread divided by the present one.
    """
    return r * ratio / math.sqrt(1 + r**2 * (ratio**2 - 1))
