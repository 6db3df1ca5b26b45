"""Whether two correlations that share x differ: Williams' test."""

from __future__ import annotations

import math

from attrs import frozen
from scipy import stats


@frozen
class Williams:
    t: float
    degrees: int
    p_value: float


def williams(r12: float, r13: float, r23: float, n: int) -> Williams:
    """T2 for r12 = r13 over the same n (Williams 1959; Steiger 1980, equation 7), with n - 3 degrees of freedom.

    NaN where the three columns lie in a plane (r23 = 1): then nothing tells the two apart.
    """
    determinant = 1 - r12**2 - r13**2 - r23**2 + 2 * r12 * r13 * r23
    mean = (r12 + r13) / 2
    spread = 2 * (n - 1) / (n - 3) * max(determinant, 0.0) + mean**2 * (1 - r23) ** 3
    if spread < 1e-12:
        return Williams(math.nan, n - 3, math.nan)
    t = (r12 - r13) * math.sqrt((n - 1) * (1 + r23) / spread)
    return Williams(t, n - 3, float(2 * stats.t.sf(abs(t), n - 3)))
