"""The class-conditional task."""

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
from nanogen_imagenet.class_lookup import ClassLookup
from nanogen_imagenet.config import ImageNetConfig
from nanogen_imagenet.crop import CropAndFlip

VIEW = "labels"


class ImageNet:
    """Generates images of classes. Reads any dataset with labels."""

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
        self._lookup = ClassLookup(classes)

    def batches(
        self, split: str, batch_size: int, *, seed: int = 0, start: int = 0, num_workers: int = 0
    ) -> Iterator[Batch]:
        """Yield endless batches of images [B, 3, S, S] in [-1, 1] and labels [B]. `flip` applies to `train` only.

        Args:
            split: `"train"` or `"val"`.
            batch_size: B, over all processes.
            seed: The seed of the shuffle and the flips.
            start: Index of the first batch, from 0.
            num_workers: Worker processes for decoding.
        """
        examples, transform = self.reading(split)
        return loader(examples, batch_size, transform=transform, seed=seed, start=start, num_workers=num_workers)

    def reading(self, split: str) -> Reading:
        """Return the examples of a split and the transform of their images.

        Args:
            split: `"train"` or `"val"`. Flips apply to `"train"` only.
        """
        transform = CropAndFlip(self.image_size, flip=self.config.flip and split == "train")
        return Reading(self._open(split), transform)

    def iter_once(self, split: str, batch_size: int, *, num_workers: int = 0) -> Iterator[Batch]:
        """Yield batches of all examples of a split, each example once, in order and without flips."""
        transform = CropAndFlip(self.image_size, flip=False)
        return iter_once(self._open(split), batch_size, transform=transform, num_workers=num_workers)

    def make_batch(self, prompts_or_labels: Sequence[str | int]) -> Batch:
        """Make a batch of labels without images, from class names or numbers.

        Raises:
            UnknownName: There is no such class.
            NanoGenError: The list is empty, a label is out of range or of another type, or a name is ambiguous.
        """
        if not prompts_or_labels:
            raise NanoGenError("The list of labels is empty. Give at least one class name or label.")
        labels = [self._lookup.label(word) for word in prompts_or_labels]
        return Batch(indices=torch.arange(len(labels)), labels=torch.tensor(labels))

    def eval_batch(self, count: int, *, seed: int = 0) -> Batch:
        """Return a batch of `count` labels. The classes take turns, in a random order that `seed` determines."""
        classes = len(self._lookup.classes)
        generator = torch.Generator().manual_seed(key(seed, "questions"))
        order = torch.randperm(classes, generator=generator)  # so that few labels are not all of the first classes
        indices = torch.arange(count)
        return Batch(indices=indices, labels=order[indices % classes])

    def captions(self, batch: Batch) -> list[str]:
        """Return the class name of each label."""
        labels = [] if batch.labels is None else batch.labels.tolist()
        return [self._lookup.classes[label] for label in labels]

    def metrics(self) -> Mapping[str, Any]:
        """Return the metrics of the configuration by name."""
        return self._metrics

    def _open(self, split: str) -> Examples:
        """Open a split, with a check that all labels are in range."""
        return CheckedLabels(self._dataset.open(split, self.image_size, VIEW), len(self._lookup.classes))
