"""Bootstrap intervals, permutation p-values (both with SciPy) and Holm's correction."""

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
FEWEST_UNITS = 5  # 5 units have 126 different resamples; fewer are not enough for a 95% interval
MAX_CELLS = 1_000_000  # size of one batch of resamples, in numbers

Statistic = Callable[[Floats], Floats]  # counts of the models [resamples, n] -> [resamples]


@frozen
class Bounds:
    """Bounds of an interval, or the reason why there is none."""

    low: float | None
    high: float | None
    reason: str | None = None


def bca(statistic: Statistic, units: Grouping, *, draws: int, seed: int) -> Bounds:
    """Compute the BCa interval (Efron 1987) of a bootstrap that draws whole units with replacement.

    A resample with a constant column has no correlation; its value is replaced by the estimate. For 5 models without
    ties this affects one resample in 625, and for more models a smaller share.

    Args:
        statistic: Function from draw counts [resamples, models] to values [resamples].
        units: Models or groups of models.
        draws: Number of resamples.
        seed: Seed of the draws.
    """
    size = len(units.groups)
    if size < FEWEST_UNITS:
        verb = "is" if size == 1 else "are"
        return Bounds(None, None, f"{number_of(size, units.name)} {verb} too few for a bootstrap")
    estimate = statistic(np.ones((1, len(units.index))))[0]

    def drawn(index: Integers, axis: int = -1) -> Floats:
        counts = counted(index.reshape(-1, index.shape[-1]), size)
        values = statistic(counts @ units.members)
        return np.where(np.isnan(values), estimate, values).reshape(index.shape[:-1])

    with warnings.catch_warnings(), np.errstate(invalid="ignore"):  # reported as a reason below
        warnings.simplefilter("ignore", DegenerateDataWarning)
        found = stats.bootstrap(
            (np.arange(size),),
            drawn,
            n_resamples=draws,
            batch=max(1, MAX_CELLS // len(units.index)),
            vectorized=True,
            confidence_level=LEVEL,
            method="BCa",
            rng=np.random.default_rng(seed),
        ).confidence_interval
    if not np.isfinite([found.low, found.high]).all():
        return Bounds(None, None, "nearly all resamples have the same value")
    return Bounds(float(found.low), float(found.high))


def counted(index: Integers, size: int) -> Floats:
    """Convert the indices of drawn units [resamples, draws] to the draw counts of all units [resamples, size]."""
    flat = (index + size * np.arange(len(index))[:, None]).ravel()
    return np.bincount(flat, minlength=size * len(index)).reshape(-1, size).astype(np.float64)


def permutation_p(coefficient: Resampled, n: int, *, draws: int, seed: int) -> float:
    """Compute the two-sided permutation p-value of a coefficient.

    If there are at most `draws` permutations, all of them are used. Otherwise `draws` random ones are.

    Args:
        coefficient: The coefficient.
        n: Number of models.
        draws: Maximum number of permutations.
        seed: Seed of random permutations.
    """
    found = stats.permutation_test(
        (np.arange(n),),
        lambda order, axis=-1: coefficient.permuted(order.reshape(-1, n)).reshape(order.shape[:-1]),
        permutation_type="pairings",
        vectorized=True,
        n_resamples=draws,
        batch=max(1, MAX_CELLS // n),
        rng=np.random.default_rng(seed),
    )
    return float(found.pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values by Holm's step-down method (1979). NaN values stay NaN and are not counted.

    The values equal those of statsmodels' `multipletests`, which takes 0.3 s because it runs the garbage collector.
    """
    p = np.array(p_values, dtype=np.float64)
    order = np.argsort(p)[: np.isfinite(p).sum()]  # argsort puts NaN last
    steps = np.arange(len(order), 0, -1)
    p[order] = np.minimum(1, np.maximum.accumulate(p[order] * steps))
    return [float(one) for one in p]
