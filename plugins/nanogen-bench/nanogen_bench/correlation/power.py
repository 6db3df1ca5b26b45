"""Statistical power of a correlation over n models. Fisher's z = artanh(r) has variance 1 / (n - 3)."""

from __future__ import annotations

import math

from scipy.optimize import brentq
from statsmodels.stats.power import normal_power, normal_sample_size_one_tail

from nanogen_bench.correlation.results import Power

ALPHA = 0.05
TARGET_POWER = 0.8
TRUE_CORRELATIONS = (0.3, 0.5)


def power_of(n: int, over: str) -> Power:
    """Return the power for n > 3 independent units. `over` is the name of the units, such as "tokenizers"."""
    return Power(
        n=n,
        over=over,
        detectable=detectable(n),
        power={str(r): power(r, n) for r in TRUE_CORRELATIONS},
        needed={str(r): needed(r) for r in TRUE_CORRELATIONS},
    )


def power(r: float, n: int) -> float:
    """Return the power of a two-sided test at 5% for a true correlation r."""
    return float(normal_power(math.atanh(r), n - 3, ALPHA))


def detectable(n: int) -> float:
    """Return the smallest true |r| that is detected with 80% power."""
    return math.tanh(brentq(lambda z: normal_power(z, n - 3, ALPHA) - TARGET_POWER, 0, 10))


def needed(r: float) -> int:
    """Return the smallest n with 80% power for a true correlation r."""
    return math.ceil(3 + float(normal_sample_size_one_tail(math.atanh(r), TARGET_POWER, ALPHA / 2)))
