"""What happened since the last log line: losses are kept as tensors and read once, so that no step waits for them."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from nanogen_core.errors import TrainingError
from nanogen_train.distributed import processes


class ForwardPass(NamedTuple):
    """The scalars of one step on this process, and which examples they come from."""

    step: int
    indices: Tensor  # [B]
    scalars: Mapping[str, Tensor]


class Watch:
    """Collects the scalars of the steps, finds a loss that is no number, and counts images and seconds.

    A scalar is averaged over processes and steps. `seconds_before` and `pending` are those of the run before it was
    resumed: then its next log line is that of a run that was never stopped.
    """

    def __init__(self, seconds_before: float = 0.0, pending: Sequence[Mapping[str, float]] = ()):
        self._before = seconds_before
        self._start = self._last = time.perf_counter()
        self._seen: list[ForwardPass] = []
        self._settled = [dict(scalars) for scalars in pending]  # of each step, averaged over processes
        self._images = 0

    def add(self, step: int, indices: Tensor, scalars: Mapping[str, Tensor], images: int) -> None:
        """Notes the scalars of one step; `images` is the size of its global batch."""
        self._seen.append(ForwardPass(step, indices, dict(scalars)))
        self._images += images

    @property
    def seconds(self) -> float:
        """Seconds of training so far."""
        return self._before + time.perf_counter() - self._start

    def summary(self) -> dict[str, float]:
        """The means since the last call, with images and seconds. Raises TrainingError at a loss that is no number."""
        steps, now = self.pending(), time.perf_counter()
        names = dict.fromkeys(name for scalars in steps for name in scalars)
        means = {name: _mean([scalars[name] for scalars in steps if name in scalars]) for name in names}
        rate = self._images / max(now - self._last, 1e-9)
        self._settled, self._images, self._last = [], 0, now
        return {**means, "images_per_second": round(rate, 2), "seconds": round(self.seconds, 3)}

    def pending(self) -> list[dict[str, float]]:
        """The scalars of each step since the last summary. Raises TrainingError at a loss that is no number."""
        seen, self._seen = self._seen, []
        values = iter(_over_processes([value for step in seen for value in step.scalars.values()]))
        for step in seen:
            scalars = {name: next(values) for name in step.scalars}
            for name, value in scalars.items():
                if not math.isfinite(value):
                    raise TrainingError(_nan_sentence(name, value, step))
            self._settled.append(scalars)
        return self._settled


def _over_processes(values: Sequence[Tensor]) -> list[float]:
    """The mean of each over the processes: one collective call and one wait for all of them."""
    if not values:
        return []
    home = values[0].device
    numbers: list[float] = processes.mean(torch.stack([value.float().to(home) for value in values])).tolist()
    return numbers


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _nan_sentence(name: str, value: float, step: ForwardPass) -> str:
    """Every process is here, since all of them have the same mean; the examples are those of the ones to blame."""
    to_blame = not torch.isfinite(step.scalars[name]).all()
    indices = [index for part in processes.gathered(step.indices.tolist() if to_blame else []) for index in part]
    shown = ", ".join(map(str, indices[:8])) + (" ..." if len(indices) > 8 else "")
    return (
        f"Step {step.step}: {name} is {value}. Its batch has the examples {shown} of the training split. The last"
        " checkpoint is from before it: look at these examples, or resume with a smaller learning rate or"
        " train.precision=fp32."
    )
