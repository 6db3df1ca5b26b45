"""What a study of n models can see: z = artanh(r) is about normal with variance 1 / (n - 3)."""

from __future__ import annotations

import math

from scipy.optimize import brentq
from statsmodels.stats.power import normal_power, normal_sample_size_one_tail

from nanogen_bench.correlation.results import Power

ALPHA = 0.05
WANTED = 0.8
TRUE = (0.3, 0.5)


def power_of(n: int, over: str) -> Power:
    """For n independent units, n > 3."""
    return Power(
        n=n,
        over=over,
        detectable=detectable(n),
        power={str(r): power(r, n) for r in TRUE},
        needed={str(r): needed(r) for r in TRUE},
    )


def power(r: float, n: int) -> float:
    """The chance that a two-sided test at 5% finds a true correlation r."""
    return float(normal_power(math.atanh(r), n - 3, ALPHA))


def detectable(n: int) -> float:
    """The |r| that is found with 80% power."""
    return math.tanh(brentq(lambda z: normal_power(z, n - 3, ALPHA) - WANTED, 0, 10))


def needed(r: float) -> int:
    """The smallest n for 80% power."""
    return math.ceil(3 + float(normal_sample_size_one_tail(math.atanh(r), WANTED, ALPHA / 2)))
