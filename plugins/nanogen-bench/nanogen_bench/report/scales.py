"""Linear scales of plots, tick values, and number formats."""

from __future__ import annotations

import math
from collections.abc import Iterable

from attrs import frozen

STEPS = (1, 2, 2.5, 5, 10)  # steps between ticks, up to a power of ten
MAX_DIGITS = 6  # digits before or after the point of a tick label
MARGIN = 0.06  # free space at both ends, relative to the range of the values


@frozen
class Scale:
    """Linear map from `low`..`high` to `start`..`end` in SVG units. A reversed axis has `start` > `end`."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self, about: int = 5) -> list[float]:
        """Return at most `about` + 1 round values inside the scale."""
        step = self.step(about)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [number * step for number in range(first, last + 1)]

    def step(self, about: int = 5) -> float:
        """Return the smallest round step that gives at most `about` + 1 ticks."""
        least = (self.high - self.low) / about
        power = 10.0 ** math.floor(math.log10(least))
        return power * next(step for step in STEPS if step * power >= least * (1 - 1e-9))

    def tick_text(self, value: float, about: int = 5) -> str:
        """Format a value of `ticks(about)` with the decimals of its step. Long values get 4 significant digits."""
        step = self.step(about)
        decimals = next((places for places in range(9) if math.isclose(round(step, places), step)), 9)
        if decimals > MAX_DIGITS or max(abs(self.low), abs(self.high)) >= 10**MAX_DIGITS:
            return f"{value:.4g}".replace("e+0", "e").replace("e-0", "e−").replace("-", "−")
        return number(value, decimals)


def around(values: Iterable[float], start: float, end: float) -> Scale:
    """Return a scale over all values with a margin. For equal values, the margin is half of |value|, or 1 for 0.

    Args:
        values: The values.
        start: Position of the low end in SVG units.
        end: Position of the high end.
    """
    found = list(values)
    low, high = min(found), max(found)
    margin = MARGIN * (high - low) or abs(low) / 2 or 1.0
    return Scale(low=low - margin, high=high + margin, start=start, end=end)


def number(value: float, decimals: int) -> str:
    """Format a number with a typographic minus sign, and without a sign for zero."""
    text = f"{value:.{decimals}f}"
    return text.lstrip("-") if float(text) == 0 else text.replace("-", "−")


def place(value: float) -> str:
    """Format a coordinate with one decimal, so that pages are identical on all platforms."""
    return f"{value + 0.0:.1f}".replace("-0.0", "0.0") if abs(value) < 0.05 else f"{value:.1f}"
