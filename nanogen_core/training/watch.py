"""What happened since the last log line: losses are kept as tensors and read once, so that no step waits for them."""

from __future__ import annotations

import time
from collections.abc import Mapping

import torch
from torch import Tensor

from nanogen_core.errors import TrainingError


class Watch:
    """Collects the scalars of the steps, finds a loss that is no number, and counts images and seconds."""

    def __init__(self, seconds_before: float = 0.0):
        self._before = seconds_before  # of the run before it was resumed
        self._start = self._last = time.perf_counter()
        self._scalars: list[dict[str, Tensor]] = []
        self._steps: list[tuple[int, list[int]]] = []  # step, indices of its examples
        self._images = 0

    def add(self, step: int, indices: Tensor, scalars: Mapping[str, Tensor], images: int) -> None:
        """Notes the scalars of one step; `images` is the size of its global batch."""
        self._scalars.append(dict(scalars))
        self._steps.append((step, indices.tolist()))
        self._images += images

    @property
    def seconds(self) -> float:
        """Seconds of training so far."""
        return self._before + time.perf_counter() - self._start

    def summary(self) -> dict[str, float]:
        """The means since the last call, with images and seconds. Raises TrainingError at a loss that is no number."""
        self.refuse_nan()
        now = time.perf_counter()
        names = dict.fromkeys(name for scalars in self._scalars for name in scalars)
        means = {name: _mean([scalars[name] for scalars in self._scalars if name in scalars]) for name in names}
        rate = self._images / max(now - self._last, 1e-9)
        self._scalars, self._steps, self._images, self._last = [], [], 0, now
        return {**means, "images_per_second": round(rate, 2), "seconds": round(self.seconds, 3)}

    def refuse_nan(self) -> None:
        """Raises TrainingError where a loss since the last summary is no number."""
        for scalars, (step, indices) in zip(self._scalars, self._steps, strict=True):
            for name, value in scalars.items():
                if not torch.isfinite(value).all():
                    raise TrainingError(_nan_sentence(name, float(value), step, indices))


def _mean(values: list[Tensor]) -> float:
    return float(torch.stack([value.float() for value in values]).mean())


def _nan_sentence(name: str, value: float, step: int, indices: list[int]) -> str:
    shown = ", ".join(map(str, indices[:8])) + (" ..." if len(indices) > 8 else "")
    return (
        f"Step {step}: {name} is {value}. Its batch has the examples {shown} of the training split. The last checkpoint"
        " is from before it: look at these examples, or resume with a smaller learning rate or train.precision=fp32."
    )
