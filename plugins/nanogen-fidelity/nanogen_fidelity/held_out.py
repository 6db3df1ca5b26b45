"""Distances to the held-out images of the dataset. Data plugins register subclasses with their image size."""

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
from nanogen_eval.row_metric import ResampledRowMetric, RowMetric
from nanogen_fidelity.distances.frechet import Moments, frechet_distance, moments
from nanogen_fidelity.distances.kid import kid
from nanogen_fidelity.extractor import shared
from nanogen_files.images import to_tensor, to_uint8

BATCH = 256
WIDE, FEW = 512, 100  # above WIDE features one bootstrap draw takes seconds, so the interval uses FEW draws


class HeldOut(RowMetric):
    """Base of the distances to all held-out images of the dataset, in one feature space.

    The reference has one size, so models of different image sizes are comparable. Compare only scores of equally many
    images: the Fréchet distance grows for fewer images.

    Args:
        features: The feature space: a component of the kind `features`.
        size: Side of the held-out images in pixels.
        task: The task, which determines whether the held-out images have labels or captions.
        dataset: The dataset with the held-out images.
    """

    option = "features"  # the option of `features`, for error messages; subclasses name their metric
    higher_is_better = False

    def __init__(self, features: Any, size: int, *, task: Task, dataset: Dataset) -> None:
        super().__init__()
        self._task, self._dataset, self._size = task, dataset, size
        self._features = shared(features, path=self.option)

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        """The feature space and a hash of the reference. Raises DataError if the reference cannot be read."""
        reference = {"reference": "val", "reference_size": self._size, "reference_images": self._identity()}
        return {"features": dict(self._features.settings), **reference}

    def measure(self, images: Tensor, batch: Batch) -> Mapping[str, Tensor]:
        return {"features": self._features(images)}

    @cached_property
    def reference(self) -> Tensor:
        """The features [M, D] of all held-out images."""
        return torch.cat([self._features(images) for images in self._images()])

    def _identity(self) -> str:
        """Return the identity of the held-out examples, or the SHA-256 of their pixels if they have none."""
        identity = getattr(self._examples, "identity", None)
        if identity is not None:
            return str(identity())
        total = sha256()
        for images in self._images():
            total.update(to_uint8(images).numpy().tobytes())
        return total.hexdigest()

    def _images(self) -> Iterator[Tensor]:
        """Yield all held-out images once: [B, 3, H, W] in [-1, 1]."""
        for batch in iter_once(self._examples, BATCH, transform=self._square, share=DataShard()):
            if batch.images is not None:
                yield batch.images

    @cached_property
    def _examples(self) -> Examples:
        view = "captions" if self._task.eval_batch(1).labels is None else "labels"
        return self._dataset.open("val", self._size, view)

    def _square(self, image: Image.Image, number: int) -> Tensor:
        """Resize an image, for datasets that do not generate images at the requested size."""
        return to_tensor(image.convert("RGB").resize((self._size, self._size), Image.Resampling.BICUBIC))


class HeldOutFrechet(HeldOut, ResampledRowMetric):
    """`frechet`: the Fréchet distance to all held-out images of the dataset."""

    score_names = ("frechet",)

    def __init__(self, features: Any, size: int, *, task: Task, dataset: Dataset) -> None:
        super().__init__(features, size, task=task, dataset=dataset)
        self.interval_draws = FEW if self._features.width > WIDE else 1000

    def score(self, rows: Mapping[str, Tensor]) -> Mapping[str, float]:
        """Return the distance; empty for fewer than two images, which have no covariance."""
        features = rows["features"]
        return {"frechet": frechet_distance(moments(features), self._moments)} if len(features) > 1 else {}

    @cached_property
    def _moments(self) -> Moments:
        return moments(self.reference)


class HeldOutKid(HeldOut):
    """`kid`: the kernel Inception distance (arXiv 1801.01401) to all held-out images of the dataset, over all pairs.

    It has no bootstrap interval: a bootstrap sample repeats images, and copies have distance 0.
    """

    score_names = ("kid",)

    def score(self, rows: Mapping[str, Tensor]) -> Mapping[str, float]:
        """Return the distance; empty for fewer than two images."""
        return {"kid": kid(rows["features"], self.reference)} if len(rows["features"]) > 1 else {}
