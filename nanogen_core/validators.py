"""Validators of numeric options. Every one refuses NaN and infinity. Loads no torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import frozen

from nanogen_core.errors import shown

BILLION = 1_000_000_000


@frozen
class between:  # noqa: N801 (read as attrs' own validators are: `validator=between(0, 1)`)
    """The value lies in [low, high], without `low` where `above`, without `high` where `below`."""

    low: float
    high: float
    above: bool = False
    below: bool = False

    def __call__(self, instance: Any, attribute: Any, value: Any) -> None:
        self.check(attribute.name, value)

    def check(self, name: str, value: Any) -> None:
        """Raises ValueError with a sentence that begins with the name."""
        if not self.holds(value):
            raise ValueError(f"{name}: must be {self}, got {shown(value)}")

    def holds(self, value: Any) -> bool:
        """Whether the value lies within the limits; no comparison with NaN holds."""
        low = value > self.low if self.above else value >= self.low
        high = value < self.high if self.below else value <= self.high
        return bool(low and high)

    def __str__(self) -> str:
        low = f"above {self.low:,}" if self.above else f"at least {self.low:,}"
        return f"{low} and {'below' if self.below else 'at most'} {self.high:,}"


def at_least(low: int, high: int = BILLION) -> between:
    """A whole number from `low` to `high`."""
    return between(low, high)


def not_below(other: str) -> Callable[[Any, Any, Any], None]:
    """The value is at least that of another option of the same part."""

    def check(instance: Any, attribute: Any, value: Any) -> None:
        least = getattr(instance, other)
        if value < least:
            raise ValueError(f"{attribute.name}: {shown(value)} lies below {other} {shown(least)}")

    return check


#: A share, a probability or a time: 0 to 1.
unit = between(0, 1)
#: A decay rate or momentum: 1 would never move.
decay = between(0, 1, below=True)
#: A share of 1 that is neither nothing nor all.
inside = between(0, 1, above=True, below=True)
#: The mean of normal numbers whose sigmoid is a time, and their deviation.
time_mean = between(-20, 20)
time_std = between(0, 20, above=True)
#: The shift of times towards noise.
time_shift = between(0, 1000, above=True)
#: A factor that may be 0.
factor = between(0, 1_000_000)
#: A factor that may not be 0.
positive = between(0, 1_000_000, above=True)
#: A number of things, of which there is at least one.
count = at_least(1)
#: A number of things, or a period in steps: 0 for none.
count_or_none = at_least(0)
#: Steps from noise to data.
sampling_steps = at_least(1, 100_000)
#: Pixels along the side of an image.
pixels = at_least(1, 8192)
#: The scale of a guidance.
guidance_scale = between(0, 1000)
#: The number of things that are computed at once.
batch = at_least(1, 1_048_576)
#: A seed names random numbers; torch takes 64 bits.
seed_number = at_least(0, 2**63 - 1)
