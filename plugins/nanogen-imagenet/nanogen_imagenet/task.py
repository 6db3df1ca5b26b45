"""The class-conditional task: which images, which labels, and how the result is judged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from nanogen_core.errors import NanoGenError
from nanogen_core.protocols import Dataset, Examples
from nanogen_core.randomness import key
from nanogen_core.tensors import Batch
from nanogen_data.labels import CheckedLabels
from nanogen_data.loader import Reading, iter_once, loader
from nanogen_imagenet.config import ImageNetConfig
from nanogen_imagenet.crop import CropAndFlip
from nanogen_imagenet.words import Words

VIEW = "labels"


class ImageNet:
    """Draws an image of a class. Reads any dataset that gives labels."""

    def __init__(
        self,
        config: ImageNetConfig,
        *,
        image_size: int,
        dataset: Dataset,
        classes: Sequence[str],
        metrics: Mapping[str, Any] | None = None,
    ):
        self.config = config
        self._metrics = metrics or {}
        self.image_size = image_size
        self._dataset = dataset
        self._words = Words(classes)

    def batches(
        self, split: str, batch_size: int, *, seed: int = 0, start: int = 0, num_workers: int = 0
    ) -> Iterator[Batch]:
        """Batches without end of images [B, 3, S, S] in [-1, 1] and labels [B]; `flip` mirrors those of `train`."""
        examples, transform = self.reading(split)
        return loader(examples, batch_size, transform=transform, seed=seed, start=start, num_workers=num_workers)

    def reading(self, split: str) -> Reading:
        """The examples of a split, and what becomes of their images in training."""
        transform = CropAndFlip(self.image_size, flip=self.config.flip and split == "train")
        return Reading(self._open(split), transform)

    def iter_once(self, split: str, batch_size: int, *, num_workers: int = 0) -> Iterator[Batch]:
        """Every image of the split once, in order and not flipped: what reference statistics are made of."""
        transform = CropAndFlip(self.image_size, flip=False)
        return iter_once(self._open(split), batch_size, transform=transform, num_workers=num_workers)

    def make_batch(self, prompts_or_labels: Sequence[str | int]) -> Batch:
        """Class names or labels as a request. Raises UnknownName or NanoGenError, see `Words.label`."""
        if not prompts_or_labels:
            raise NanoGenError("Nothing was asked for: give at least one class name or label.")
        labels = [self._words.label(word) for word in prompts_or_labels]
        return Batch(indices=torch.arange(len(labels)), labels=torch.tensor(labels))

    def eval_batch(self, count: int, *, seed: int = 0) -> Batch:
        """`count` labels balanced over the classes: every class in turn, in an order keyed by the seed."""
        classes = len(self._words.classes)
        generator = torch.Generator().manual_seed(key(seed, "questions"))
        order = torch.randperm(classes, generator=generator)  # or few questions would all be of the first classes
        indices = torch.arange(count)
        return Batch(indices=indices, labels=order[indices % classes])

    def captions(self, batch: Batch) -> list[str]:
        """The class name of each label."""
        labels = [] if batch.labels is None else batch.labels.tolist()
        return [self._words.classes[label] for label in labels]

    def metrics(self) -> Mapping[str, Any]:
        """The metrics of the configuration by name."""
        return self._metrics

    def _open(self, split: str) -> Examples:
        """A split of whatever dataset, with labels of these classes alone."""
        return CheckedLabels(self._dataset.open(split, self.image_size, VIEW), len(self._words.classes))
