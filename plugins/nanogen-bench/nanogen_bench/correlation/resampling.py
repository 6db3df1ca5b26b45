"""Bootstrap intervals and permutation p-values (both SciPy's), and Holm's correction."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

import numpy as np
from attrs import frozen
from scipy import stats
from scipy.stats import DegenerateDataWarning

from nanogen_bench.correlation.coefficients import Floats, Integers, Resampled
from nanogen_bench.correlation.groupings import Grouping, number_of

LEVEL = 0.95
FEWEST_UNITS = 5  # 126 different resamples; fewer leave too few values for a 95% interval
NUMBERS_AT_ONCE = 1_000_000  # cells of one batch of resamples

Statistic = Callable[[Floats], Floats]  # counts of the models [resamples, n] -> [resamples]


@frozen
class Bounds:
    """An interval, or the reason why there is none."""

    low: float | None
    high: float | None
    reason: str | None = None


def bca(statistic: Statistic, units: Grouping, *, draws: int, seed: int) -> Bounds:
    """The BCa interval (Efron 1987) when whole groups of models are drawn with replacement.

    A resample in which a side is constant has no correlation: it counts as the estimate itself, which matters for
    studies of a handful of units only (of 5, one resample in 625).
    """
    size = len(units.groups)
    if size < FEWEST_UNITS:
        return Bounds(None, None, f"{number_of(size, units.name)}: too few to draw from")
    estimate = statistic(np.ones((1, len(units.index))))[0]

    def drawn(index: Integers, axis: int = -1) -> Floats:
        counts = counted(index.reshape(-1, index.shape[-1]), size)
        values = statistic(counts @ units.members)
        return np.where(np.isnan(values), estimate, values).reshape(index.shape[:-1])

    with warnings.catch_warnings(), np.errstate(invalid="ignore"):  # told below, in words
        warnings.simplefilter("ignore", DegenerateDataWarning)
        found = stats.bootstrap(
            (np.arange(size),),
            drawn,
            n_resamples=draws,
            batch=max(1, NUMBERS_AT_ONCE // len(units.index)),
            vectorized=True,
            confidence_level=LEVEL,
            method="BCa",
            rng=np.random.default_rng(seed),
        ).confidence_interval
    if not np.isfinite([found.low, found.high]).all():
        return Bounds(None, None, "nearly every resample gives the same value")
    return Bounds(float(found.low), float(found.high))


def counted(index: Integers, size: int) -> Floats:
    """How often each of `size` units stands in each row of index: [resamples, drawn] -> [resamples, size]."""
    flat = (index + size * np.arange(len(index))[:, None]).ravel()
    return np.bincount(flat, minlength=size * len(index)).reshape(-1, size).astype(np.float64)


def permutation_p(coefficient: Resampled, n: int, *, draws: int, seed: int) -> float:
    """The two-sided p-value for no relation: over all permutations where they are no more than the draws."""
    found = stats.permutation_test(
        (np.arange(n),),
        lambda order, axis=-1: coefficient.permuted(order.reshape(-1, n)).reshape(order.shape[:-1]),
        permutation_type="pairings",
        vectorized=True,
        n_resamples=draws,
        batch=max(1, NUMBERS_AT_ONCE // n),
        rng=np.random.default_rng(seed),
    )
    return float(found.pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction (1979); a NaN stays one and does not count.

    statsmodels' `multipletests` gives the same and runs the garbage collector each time: 0.3 s.
    """
    p = np.array(p_values, dtype=np.float64)
    order = np.argsort(p)[: np.isfinite(p).sum()]  # NaN last
    steps = np.arange(len(order), 0, -1)
    p[order] = np.minimum(1, np.maximum.accumulate(p[order] * steps))
    return [float(one) for one in p]
