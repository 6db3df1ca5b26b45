"""Accumulation of scalars between log lines.

Losses stay on the device until they are logged, so no step waits for them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from nanogen_core.errors import TrainingError
from nanogen_train.distributed import processes


class StepScalars(NamedTuple):
    """The scalars of one step on this process, and the indices of its examples."""

    step: int
    indices: Tensor  # [B]
    scalars: Mapping[str, Tensor]


class MetricsAccumulator:
    """Accumulates the scalars of steps, detects NaN and infinite values, and counts images and seconds.

    Scalars are averaged over processes and steps.

    Args:
        seconds_before: Training time before the run was resumed.
        pending: Scalars of the steps between the last log line and the checkpoint that the run resumes from.
    """

    def __init__(self, seconds_before: float = 0.0, pending: Sequence[Mapping[str, float]] = ()):
        self._seconds_before = seconds_before
        self._start = self._last = time.perf_counter()
        self._steps: list[StepScalars] = []
        self._averaged = [dict(scalars) for scalars in pending]  # scalars of each step, averaged over processes
        self._images = 0

    def start_steps(self) -> None:
        """Start the clock of `images_per_second`, so that it does not include the preparation of the data."""
        self._last = time.perf_counter()

    def add(self, step: int, indices: Tensor, scalars: Mapping[str, Tensor], images: int) -> None:
        """Add the scalars of a step.

        Args:
            indices: Dataset indices [B] of this process's examples.
            scalars: Scalars by name.
            images: Size of the global batch.
        """
        self._steps.append(StepScalars(step, indices, dict(scalars)))
        self._images += images

    @property
    def seconds(self) -> float:
        """Training time so far, in seconds."""
        return self._seconds_before + time.perf_counter() - self._start

    def summary(self) -> dict[str, float]:
        """Return the means of the scalars since the last call, the images per second and the training time in seconds.

        Raises TrainingError for NaN or infinity.
        """
        steps, current_time = self.pending(), time.perf_counter()
        names = dict.fromkeys(name for scalars in steps for name in scalars)
        means = {name: _mean([scalars[name] for scalars in steps if name in scalars]) for name in names}
        rate = self._images / max(current_time - self._last, 1e-9)
        self._averaged, self._images, self._last = [], 0, current_time
        return {**means, "images_per_second": round(rate, 2), "seconds": round(self.seconds, 3)}

    def pending(self) -> list[dict[str, float]]:
        """Return the scalars of each step since the last summary, averaged over processes. A collective call.

        Raises TrainingError for NaN or infinity.
        """
        steps, self._steps = self._steps, []
        values = iter(_over_processes([value for step in steps for value in step.scalars.values()]))
        for step in steps:
            scalars = {name: next(values) for name in step.scalars}
            for name, value in scalars.items():
                if not math.isfinite(value):
                    raise TrainingError(_nan_message(name, value, step))
            self._averaged.append(scalars)
        return self._averaged


def _over_processes(values: Sequence[Tensor]) -> list[float]:
    """Return the mean of each value over the processes, with a single collective call."""
    if not values:
        return []
    device = values[0].device
    numbers: list[float] = processes.mean(torch.stack([value.float().to(device) for value in values])).tolist()
    return numbers


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _nan_message(name: str, value: float, step: StepScalars) -> str:
    """Return the error message for a value that is not finite, with the examples of the processes that caused it.

    A collective call: all processes have the same mean, so all of them get here.
    """
    is_cause = not torch.isfinite(step.scalars[name]).all()
    indices = [index for part in processes.all_gather(step.indices.tolist() if is_cause else []) for index in part]
    shown = ", ".join(map(str, indices[:8])) + (" ..." if len(indices) > 8 else "")
    return (
        f"Step {step.step}: {name} is {value}. It was computed from examples {shown} of the training split. Check these"
        " examples and resume from the last checkpoint, or start a new run with a smaller learning rate or"
        " train.precision=fp32."
    )
