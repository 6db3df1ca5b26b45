"""Two small metrics for tests: one keeps a row per image, one keeps sums."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from nanogen_core.tensors import Batch
from nanogen_data.testing.fakes.dataset import COLOURS
from nanogen_eval.row_metric import ResampledRowMetric


class TinyColour(ResampledRowMetric):
    """`colour`: the share, in [0, 1], of images whose strongest channel is that of their label."""

    higher_is_better = True
    settings = {"colours": list(COLOURS)}

    def measure(self, images: Tensor, batch: Batch) -> Mapping[str, Tensor]:
        """Measure images [B, 3, H, W] in [-1, 1]. The label is the index of the expected channel."""
        assert batch.labels is not None
        strongest = images.double().mean(dim=(2, 3)).argmax(dim=1)  # [B]
        return {"right": strongest.cpu() == batch.labels.cpu()}

    def score(self, rows: Mapping[str, Tensor]) -> Mapping[str, float]:
        return {"colour": float(rows["right"].double().mean())}


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
