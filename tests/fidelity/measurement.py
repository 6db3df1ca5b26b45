"""One compared quantity of a fixture, with its error and its tolerance."""

from __future__ import annotations

from attrs import frozen
from torch import Tensor


@frozen
class Measurement:
    """Error and tolerance of one quantity. NaN never holds."""

    name: str
    error: float
    tolerance: float

    @property
    def holds(self) -> bool:
        return self.error <= self.tolerance

    @property
    def relative(self) -> float:
        """The error divided by the tolerance. With tolerance 0 any error is infinite."""
        if self.error != self.error:
            return float("inf")
        if self.tolerance == 0:
            return 0.0 if self.error == 0 else float("inf")
        return self.error / self.tolerance


def relative_max(ours: Tensor, recorded: Tensor) -> float:
    """Return `max|ours - recorded| / max|recorded|` in float64, infinity for another shape or a non-finite value."""
    if ours.shape != recorded.shape or not ours.isfinite().all():
        return float("inf")
    difference = float((ours.double() - recorded.double()).abs().max())
    largest = float(recorded.double().abs().max())
    if largest == 0:
        return 0.0 if difference == 0 else float("inf")
    return difference / largest


def absolute_max(ours: Tensor, recorded: Tensor) -> float:
    """Return `max|ours - recorded|` in float64, infinity for another shape or a non-finite value."""
    if ours.shape != recorded.shape or not ours.isfinite().all():
        return float("inf")
    return float((ours.double() - recorded.double()).abs().max())
