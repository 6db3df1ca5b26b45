"""From values to places on a drawing, and the round values that stand at an axis."""

from __future__ import annotations

import math
from collections.abc import Iterable

from attrs import frozen

STEPS = (1, 2, 2.5, 5, 10)  # what a step between two ticks may be, times a power of ten
LONG = 6  # digits before or after the point that fit beside an axis
MARGIN = 0.06  # of the spread of the values, kept free at either end


@frozen
class Scale:
    """Maps `low`..`high` linearly to `start`..`end` (SVG units); `start` > `end` where the axis runs the other way."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self, about: int = 5) -> list[float]:
        """Round values inside the scale, about so many."""
        step = self.step(about)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [number * step for number in range(first, last + 1)]

    def step(self, about: int = 5) -> float:
        """The smallest round step that leaves no more than `about` + 1 ticks."""
        least = (self.high - self.low) / about
        power = 10.0 ** math.floor(math.log10(least))
        return power * next(step for step in STEPS if step * power >= least * (1 - 1e-9))

    def tick_text(self, value: float, about: int = 5) -> str:
        """A tick with as many decimals as its step has; with an exponent where that would be long."""
        step = self.step(about)
        decimals = next((places for places in range(9) if math.isclose(round(step, places), step)), 9)
        if decimals > LONG or max(abs(self.low), abs(self.high)) >= 10**LONG:
            return f"{value:.4g}".replace("e+0", "e").replace("e-0", "e−").replace("-", "−")
        return number(value, decimals)


def around(values: Iterable[float], start: float, end: float) -> Scale:
    """A scale that holds all the values with a margin. One value alone gets a range of its own size around it."""
    held = list(values)
    low, high = min(held), max(held)
    margin = MARGIN * (high - low) or abs(low) / 2 or 1.0
    return Scale(low=low - margin, high=high + margin, start=start, end=end)


def number(value: float, decimals: int) -> str:
    """A rounded number with a true minus sign, and no sign before a zero."""
    text = f"{value:.{decimals}f}"
    return text.lstrip("-") if float(text) == 0 else text.replace("-", "−")


def place(value: float) -> str:
    """A coordinate; a tenth of a unit is finer than a screen shows and coarser than what platforms differ by."""
    return f"{value + 0.0:.1f}".replace("-0.0", "0.0") if abs(value) < 0.05 else f"{value:.1f}"
