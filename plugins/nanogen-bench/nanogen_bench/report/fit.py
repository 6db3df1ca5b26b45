"""Least-squares line with its 95 % confidence band."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from attrs import frozen

CONFIDENCE = 0.95


@frozen
class Fit:
    """Least-squares line of y on x with a confidence band (Draper and Smith 1998, section 3.1)."""

    slope: float
    mean_x: float
    mean_y: float
    spread: float  # Sxx, the sum of squared deviations of x
    scale: float  # t quantile times the standard deviation of the residuals
    n: int

    def at(self, x: float) -> float:
        """Return the line's value at x."""
        return self.mean_y + self.slope * (x - self.mean_x)

    def half_width(self, x: float) -> float:
        """Return half the height of the band at x: t s sqrt(1/n + (x - mean)^2 / Sxx)."""
        return self.scale * float(np.sqrt(1 / self.n + (x - self.mean_x) ** 2 / self.spread))


def fit(xs: Sequence[float], ys: Sequence[float]) -> Fit | None:
    """Fit a line. Returns None for fewer than three points, or if all x are equal."""
    from scipy.stats import t

    if len(xs) < 3 or len(set(xs)) < 2:
        return None
    x, y = np.asarray(xs, float), np.asarray(ys, float)
    centred = x - x.mean()
    spread = float(centred @ centred)
    slope = float(centred @ (y - y.mean())) / spread
    residuals = y - y.mean() - slope * centred
    deviation = float(np.sqrt(residuals @ residuals / (len(x) - 2)))
    quantile = float(t.ppf((1 + CONFIDENCE) / 2, len(x) - 2))
    return Fit(slope, float(x.mean()), float(y.mean()), spread, quantile * deviation, len(x))
