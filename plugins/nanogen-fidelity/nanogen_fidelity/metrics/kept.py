"""What all metrics do that keep a row for each image."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from nanogen_core.tensors import Batch
from nanogen_eval.rows import INDEX, Rows


class OfRows:
    """A metric of rows by the image's index. Subclasses say `see` and `score`."""

    def __init__(self) -> None:
        self.reset()

    def see(self, images: Tensor, batch: Batch) -> Mapping[str, Tensor]:
        """What is kept of images [B, 3, H, W] in [-1, 1]: columns [B, ...] by name."""
        raise NotImplementedError

    def score(self, rows: Mapping[str, Tensor]) -> Mapping[str, float]:
        """The scores of columns [N, ...], N > 0, in the order of the images."""
        raise NotImplementedError

    def reset(self) -> None:
        self._rows = Rows()

    def update(self, images: Tensor, batch: Batch) -> None:
        self._rows.add(batch.indices, **self.see(images, batch))

    def compute(self) -> Mapping[str, float]:
        return self.score(self._columns()) if len(self._rows) else {}

    def state(self) -> Mapping[str, Tensor]:
        return self._rows.state()

    def merge(self, state: Mapping[str, Tensor]) -> None:
        self._rows.merge(state)

    def _columns(self) -> Mapping[str, Tensor]:
        return {name: column for name, column in self._rows.state().items() if name != INDEX}


class Resampling(OfRows):
    """One whose score over resampled images means something: no distance between different images is part of it."""

    @property
    def units(self) -> int:
        """Images."""
        return len(self._rows)

    def resampled(self, units: Tensor) -> Mapping[str, float]:
        rows = torch.sort(units).values
        return self.score({name: column[rows] for name, column in self._columns().items()}) if len(units) else {}
