"""Confidence intervals of coefficients by Fisher's z = artanh(r)."""

from __future__ import annotations

import math

from scipy.stats import norm

from nanogen_bench.correlation.resampling import LEVEL, Bounds

ROUNDING = 1e-12


def fisher(name: str, estimate: float, n: int) -> Bounds:
    """Compute the 95% confidence interval of a coefficient over n independent models.

    The variance of z is 1 / (n - 3) for Pearson's r (Fisher 1921), (1 + rho^2 / 2) / (n - 3) for Spearman's rho
    (Bonett and Wright 2000), and 0.437 / (n - 4) for Kendall's tau (Fieller, Hartley and Pearson 1957).

    Args:
        name: `"pearson"`, `"spearman"` or `"kendall"`.
        estimate: The coefficient.
        n: Number of models, at least 4.
    """
    if abs(estimate) > 1 - ROUNDING:
        return Bounds(None, None, "the coefficient is exactly +1 or -1")
    if name == "kendall" and n == 4:
        return Bounds(None, None, "4 models are too few")
    variance = {
        "pearson": lambda: 1 / (n - 3),
        "spearman": lambda: (1 + estimate**2 / 2) / (n - 3),
        "kendall": lambda: 0.437 / (n - 4),
    }[name]()
    half = norm.ppf((1 + LEVEL) / 2) * math.sqrt(variance)
    centre = math.atanh(estimate)
    return Bounds(math.tanh(centre - half), math.tanh(centre + half))
