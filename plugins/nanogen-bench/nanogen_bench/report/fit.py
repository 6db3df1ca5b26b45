"""A straight line through points, and the band in which the true line lies with 95 % confidence."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from attrs import frozen

CONFIDENCE = 0.95


@frozen
class Fit:
    """The least-squares line of y on x, and what its uncertainty follows from (Draper & Smith 1998, section 3.1)."""

    slope: float
    mean_x: float
    mean_y: float
    spread: float  # sum of the squared deviations of x
    reach: float  # t quantile times the residuals' standard deviation
    n: int

    def at(self, x: float) -> float:
        """The line."""
        return self.mean_y + self.slope * (x - self.mean_x)

    def half_width(self, x: float) -> float:
        """Half of the band's height: t s sqrt(1/n + (x - mean)^2 / Sxx), for the mean of y at x."""
        return self.reach * float(np.sqrt(1 / self.n + (x - self.mean_x) ** 2 / self.spread))


def fit(xs: Sequence[float], ys: Sequence[float]) -> Fit | None:
    """The line through at least three points with two different x; None where there is none or no band."""
    from scipy.stats import t

    if len(xs) < 3 or len(set(xs)) < 2:
        return None
    x, y = np.asarray(xs, float), np.asarray(ys, float)
    centred = x - x.mean()
    spread = float(centred @ centred)
    slope = float(centred @ (y - y.mean())) / spread
    left = y - y.mean() - slope * centred
    deviation = float(np.sqrt(left @ left / (len(x) - 2)))
    quantile = float(t.ppf((1 + CONFIDENCE) / 2, len(x) - 2))
    return Fit(slope, float(x.mean()), float(y.mean()), spread, quantile * deviation, len(x))
