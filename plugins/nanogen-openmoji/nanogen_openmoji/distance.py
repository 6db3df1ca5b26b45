"""The Fréchet distance of pictures to held-out drawings, as a metric of the core."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from hashlib import sha256
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from nanogen_core.protocols import Dataset, Examples, Task
from nanogen_core.tensors import Batch
from nanogen_data.loader import DataShard, iter_once
from nanogen_eval.rows import Rows
from nanogen_fidelity.distances.frechet import Moments, frechet_distance, moments
from nanogen_files.images import to_tensor, to_uint8
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
        self.reset()

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        """With a hash of the held-out drawings. Raises DataError where they cannot be read."""
        reference = {"reference": "val", "reference_size": SIZE, "reference_images": self._identity()}
        return {"features": dict(self._features.settings), **reference}

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
        return moments(torch.cat([self._features(images) for images in self._images()]))

    def _identity(self) -> str:
        """What the drawings say of themselves; of images from elsewhere, the SHA-256 of their pixels in order."""
        identity = getattr(self._examples, "identity", None)
        if identity is not None:
            return str(identity())
        total = sha256()
        for images in self._images():
            total.update(to_uint8(images).numpy().tobytes())
        return total.hexdigest()

    def _images(self) -> Iterator[Tensor]:
        """[B, 3, H, W] in [-1, 1], every image of the split once."""
        for batch in iter_once(self._examples, BATCH, transform=_square, share=DataShard()):
            if batch.images is not None:
                yield batch.images

    @cached_property
    def _examples(self) -> Examples:
        view = "captions" if self._task.eval_batch(1).labels is None else "labels"
        return self._dataset.open("val", SIZE, view)


def _square(picture: Image.Image, number: int) -> Tensor:
    """For a dataset whose images are not drawn to size."""
    return to_tensor(picture.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BICUBIC))
