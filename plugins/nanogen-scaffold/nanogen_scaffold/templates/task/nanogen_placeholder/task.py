"""Text-to-image: batches of images with captions, and captions as requests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from attrs import frozen
from nanogen_core.errors import NanoGenError
from nanogen_core.protocols import Dataset
from nanogen_core.randomness import key
from nanogen_core.tensors import Batch
from nanogen_data.captions import texts_of
from nanogen_data.corrupt import first_good
from nanogen_data.loader import iter_once, loader
from nanogen_files.images import to_tensor
from PIL import Image, ImageOps
from torch import Tensor

from nanogen_placeholder.config import PlaceholderConfig


class Placeholder:
    """Reads any dataset with captions.

    Args:
        config: Options.
        image_size: Side of the images in pixels.
        dataset: The dataset.
        metrics: The configured metrics by name.
    """

    def __init__(
        self,
        config: PlaceholderConfig,
        *,
        image_size: int,
        dataset: Dataset,
        metrics: Mapping[str, Any] | None = None,
    ):
        self.image_size = image_size
        self._config, self._dataset, self._metrics = config, dataset, metrics or {}

    def batches(
        self, split: str, batch_size: int, *, seed: int = 0, start: int = 0, num_workers: int = 0
    ) -> Iterator[Batch]:
        """Iterate over shuffled batches endlessly, from batch `start`. Images [B, 3, S, S] are in [-1, 1]."""
        transform = Prepare(self.image_size, self._config.flip if split == "train" else 0.0)
        examples = self._dataset.open(split, self.image_size, "captions")
        return loader(examples, batch_size, transform=transform, seed=seed, start=start, num_workers=num_workers)

    def iter_once(self, split: str, batch_size: int, *, num_workers: int = 0) -> Iterator[Batch]:
        """Iterate over every example once, in order."""
        examples = self._dataset.open(split, self.image_size, "captions")
        return iter_once(examples, batch_size, transform=Prepare(self.image_size, 0.0), num_workers=num_workers)

    def make_batch(self, prompts_or_labels: Sequence[str | int]) -> Batch:
        """Make a batch of captions without images. Raises NanoGenError for no requests, or for a number among them."""
        captions = [request for request in prompts_or_labels if isinstance(request, str)]
        if not captions or len(captions) < len(prompts_or_labels):
            raise NanoGenError(f"'placeholder' needs captions, got {list(prompts_or_labels)}.")
        return Batch(torch.arange(len(captions)), captions=captions)

    def eval_batch(self, count: int, *, seed: int = 0) -> Batch:
        """Return a batch of `count` captions from the split `val`, shuffled by the seed. A smaller split repeats."""
        examples = self._dataset.open("val", self.image_size, "captions")
        order = torch.randperm(len(examples), generator=torch.Generator().manual_seed(key(seed, "questions")))
        rows = [int(order[number % len(order)]) for number in range(count)]
        read = [first_good(examples.__getitem__, row, range(len(examples)), [])[1].caption for row in rows]
        captions = [texts_of(caption)[0] for caption in read if caption is not None]
        if len(captions) < count:
            raise NanoGenError("An example of the split 'val' has no caption: use a dataset with captions.")
        return Batch(torch.arange(count), captions=captions)

    def captions(self, batch: Batch) -> Sequence[str]:
        """Return the captions of a batch; empty if it has none."""
        return batch.captions or ()

    def metrics(self) -> Mapping[str, Any]:
        """Return the configured metrics by name."""
        return self._metrics


@frozen
class Prepare:
    """Crops the central square, resizes it, and mirrors it with the probability `flip`. Returns [3, size, size]."""

    size: int
    flip: float

    def __call__(self, image: Image.Image, number: int) -> Tensor:
        """Transform an image. `number` is a random integer of 32 bits, keyed by the seed, the epoch and the example."""
        square = ImageOps.fit(image.convert("RGB"), (self.size, self.size), Image.Resampling.BICUBIC)
        pixels = to_tensor(square)
        return pixels.flip(-1) if number / 2**32 < self.flip else pixels
