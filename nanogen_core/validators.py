"""Validators for numeric options. Limits (`between`) reject NaN and infinity. Does not import torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import frozen

from nanogen_core.errors import shown

BILLION = 1_000_000_000


@frozen
class between:  # noqa: N801 (lower case like the validators of attrs)
    """Validator for low <= value <= high: `field(default=0.5, validator=between(0, 1))`.

    Args:
        low: Lower limit.
        high: Upper limit.
        above: Exclude the lower limit.
        below: Exclude the upper limit.
    """

    low: float
    high: float
    above: bool = False
    below: bool = False

    def __call__(self, instance: Any, attribute: Any, value: Any) -> None:
        self.check(attribute.name, value)

    def check(self, name: str, value: Any) -> None:
        """Raise ValueError if the value is outside the limits. The message begins with `name`."""
        if not self.holds(value):
            raise ValueError(f"{name}: must be {self}, got {shown(value)}")

    def holds(self, value: Any) -> bool:
        """Return whether the value is within the limits. False for NaN."""
        low = value > self.low if self.above else value >= self.low
        high = value < self.high if self.below else value <= self.high
        return bool(low and high)

    def __str__(self) -> str:
        low = f"above {self.low:,}" if self.above else f"at least {self.low:,}"
        return f"{low} and {'below' if self.below else 'at most'} {self.high:,}"


def at_least(low: int, high: int = BILLION) -> between:
    """Validator for counts from `low` to `high`."""
    return between(low, high)


def not_below(other: str) -> Callable[[Any, Any, Any], None]:
    """Validator: the value is not below the option `other` of the same class."""

    def check(instance: Any, attribute: Any, value: Any) -> None:
        least = getattr(instance, other)
        if not value >= least:  # NaN too
            raise ValueError(f"{attribute.name}: must be at least {other} ({shown(least)}), got {shown(value)}")

    return check


unit = between(0, 1)  #: A fraction, probability or time.
decay = between(0, 1, below=True)  #: A decay rate or momentum.
inside = between(0, 1, above=True, below=True)  #: A fraction strictly between 0 and 1.
time_mean = between(-20, 20)  #: Mean of logit-normal times.
time_std = between(0, 20, above=True)  #: Standard deviation of logit-normal times.
time_shift = between(0, 1000, above=True)  #: Time shift; above 1, times are noisier.
factor = between(0, 1_000_000)  #: A non-negative factor.
positive = between(0, 1_000_000, above=True)  #: A positive factor.
count = at_least(1)  #: A count of at least 1.
count_or_none = at_least(0)  #: A count or a period in steps; 0 for none.
sampling_steps = at_least(1, 100_000)  #: Number of sampling steps.
pixels = at_least(1, 8192)  #: Image size in pixels per side.
guidance_scale = between(0, 1000)  #: Guidance scale.
batch = at_least(1, 1_048_576)  #: Batch size.
seed_number = at_least(0, 2**63 - 1)  #: Seed; torch accepts 64 bits.
