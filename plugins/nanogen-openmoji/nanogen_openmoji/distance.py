"""The Fréchet distance of pictures to held-out drawings, as a metric of the core."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import torch
from PIL import Image
from torch import Tensor

from nanogen_core.data import Share, once
from nanogen_core.evaluation.frechet import Moments, frechet_distance, moments
from nanogen_core.evaluation.rows import Rows
from nanogen_core.images import to_tensor
from nanogen_core.protocols import Dataset, Task
from nanogen_core.tensors import Batch
from nanogen_openmoji.classifier import SIZE
from nanogen_openmoji.features import ClassifierFeatures

BATCH = 256


class Frechet:
    """`frechet`: in the 128 features of the class judge, to all held-out drawings of the task. These have 64 px, as
    the judge was trained on, whatever size the pictures have: so models of different image sizes compare. The distance
    rises as pictures become fewer: only those of equally many compare."""

    higher_is_better = False
    score_names = ("frechet",)

    def __init__(self, *, task: Task, dataset: Dataset) -> None:
        self._task, self._dataset = task, dataset
        self._features = ClassifierFeatures()
        self.settings = {"features": dict(self._features.settings), "reference": "val", "reference_size": SIZE}
        self.reset()

    def reset(self) -> None:
        self._rows = Rows()

    def update(self, images: Tensor, batch: Batch) -> None:
        """Images [B, 3, H, W] in [-1, 1]; nothing is asked of the batch but its indices."""
        self._rows.add(batch.indices, features=self._features(images))

    def compute(self) -> Mapping[str, float]:
        return self.resampled(torch.arange(self.units))

    def state(self) -> Mapping[str, Tensor]:
        return self._rows.state()

    def merge(self, state: Mapping[str, Tensor]) -> None:
        self._rows.merge(state)

    @property
    def units(self) -> int:
        """Pictures."""
        return len(self._rows)

    def resampled(self, units: Tensor) -> Mapping[str, float]:
        """Nothing for fewer than two pictures: they have no covariance."""
        if len(units) < 2:
            return {}
        return {"frechet": frechet_distance(moments(self._rows["features"][units]), self._held_out)}

    @cached_property
    def _held_out(self) -> Moments:
        view = "captions" if self._task.questions(1).labels is None else "labels"
        batches = once(self._dataset.open("val", SIZE, view), BATCH, transform=_square, share=Share())
        return moments(torch.cat([self._features(batch.images) for batch in batches if batch.images is not None]))


def _square(picture: Image.Image, number: int) -> Tensor:
    """For a dataset whose images are not drawn to size."""
    return to_tensor(picture.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BICUBIC))
