"""Two small metrics for tests: one keeps a row per image, one keeps sums."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from nanogen_core.tensors import Batch
from nanogen_core.testing.fakes.dataset import COLOURS
from nanogen_eval.rows import Rows


class TinyColour:
    """`colour`: share of images in [0, 1] whose strongest channel matches their label."""

    higher_is_better = True

    def __init__(self) -> None:
        self.settings = {"colours": list(COLOURS)}
        self.reset()

    def reset(self) -> None:
        self._rows = Rows()

    def update(self, images: Tensor, batch: Batch) -> None:
        """Add images [B, 3, H, W] in [-1, 1]. Labels are indices of `COLOURS`."""
        assert batch.labels is not None
        strongest = images.double().mean(dim=(2, 3)).argmax(dim=1)  # [B]
        self._rows.add(batch.indices, right=strongest.cpu() == batch.labels.cpu())

    def compute(self) -> Mapping[str, float]:
        return self.resampled(torch.arange(self.units))

    def state(self) -> Mapping[str, Tensor]:
        return self._rows.state()

    def merge(self, state: Mapping[str, Tensor]) -> None:
        self._rows.merge(state)

    @property
    def units(self) -> int:
        """Number of images."""
        return len(self._rows)

    def resampled(self, units: Tensor) -> Mapping[str, float]:
        return {"colour": float(self._rows["right"][units].double().mean())} if len(units) else {}


class TinyRedness:
    """`redness`: mean of the red channel in [-1, 1]. Keeps a sum only, so it has no interval."""

    higher_is_better = False

    def __init__(self) -> None:
        self.settings = {"channel": 0}
        self.reset()

    def reset(self) -> None:
        self._sum = torch.zeros(2, dtype=torch.float64)  # sum and number of the values

    def update(self, images: Tensor, batch: Batch) -> None:
        """Add images [B, 3, H, W] in [-1, 1]."""
        red = images[:, 0].double()
        self._sum += torch.tensor([float(red.sum()), red.numel()], dtype=torch.float64)

    def compute(self) -> Mapping[str, float]:
        return {"redness": float(self._sum[0] / self._sum[1])} if self._sum[1] else {}

    def state(self) -> Mapping[str, Tensor]:
        return {"sum": self._sum.clone()}

    def merge(self, state: Mapping[str, Tensor]) -> None:
        self._sum += state["sum"]
