"""Williams' test: do two correlations that share a variable differ?"""

from __future__ import annotations

import math

from attrs import frozen
from scipy import stats


@frozen
class Williams:
    """Result of Williams' test: statistic, degrees of freedom, two-sided p-value."""

    t: float
    degrees: int
    p_value: float


def williams(r12: float, r13: float, r23: float, n: int) -> Williams:
    """Test whether r12 = r13 (Williams 1959; Steiger 1980, equation 7).

    Args:
        r12: Correlation of variables 1 and 2.
        r13: Correlation of variables 1 and 3.
        r23: Correlation of variables 2 and 3.
        n: Sample size, the same for all three.

    Returns:
        Statistic T2 with n - 3 degrees of freedom. T2 and p are NaN if T2 is undefined, such as for r23 = 1.
    """
    determinant = 1 - r12**2 - r13**2 - r23**2 + 2 * r12 * r13 * r23
    mean = (r12 + r13) / 2
    spread = 2 * (n - 1) / (n - 3) * max(determinant, 0.0) + mean**2 * (1 - r23) ** 3
    if spread < 1e-12:
        return Williams(math.nan, n - 3, math.nan)
    t = (r12 - r13) * math.sqrt((n - 1) * (1 + r23) / spread)
    return Williams(t, n - 3, float(2 * stats.t.sf(abs(t), n - 3)))
