"""A task over coloured squares that asks by colour or by caption, whichever the conditioner reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from PIL import Image
from torch import Tensor

from nanogen_core import data
from nanogen_core.errors import NanoGenError, listing
from nanogen_core.images import to_tensor
from nanogen_core.protocols import Metric
from nanogen_core.tensors import Batch
from nanogen_core.testing.fakes.dataset import TinyDataset


class TinyTask:
    """Batches with labels and captions; requests are `"red"`, `1` or `"a red square"`."""

    def __init__(self, *, dataset: TinyDataset, image_size: int, metrics: Mapping[str, Metric] | None = None):
        self.dataset = dataset
        self.image_size = image_size
        self._metrics = metrics or {}

    def batches(
        self, split: str, batch_size: int, *, seed: int = 0, start: int = 0, workers: int = 0
    ) -> Iterator[Batch]:
        """Batches without end from batch `start` on, in an order keyed by the seed."""
        examples = self.dataset.open(split, self.image_size, "labels")
        return data.loader(examples, batch_size, transform=self._picture, seed=seed, start=start, workers=workers)

    def once(self, split: str, batch_size: int, *, workers: int = 0) -> Iterator[Batch]:
        """Every example of the split once, in order."""
        examples = self.dataset.open(split, self.image_size, "labels")
        return data.once(examples, batch_size, transform=self._picture, workers=workers)

    def ask(self, prompts_or_labels: Sequence[str | int]) -> Batch:
        """Requests as a batch. Raises NanoGenError where no colour is named."""
        return self._asked([self._label(request) for request in prompts_or_labels])

    def questions(self, count: int, *, seed: int = 0) -> Batch:
        """The colours in turn."""
        return self._asked([number % len(self.dataset.classes) for number in range(count)])

    def describe(self, batch: Batch) -> Sequence[str]:
        """The captions."""
        return batch.captions or ()

    def metrics(self) -> Mapping[str, Metric]:
        """Those of the configuration."""
        return self._metrics

    def _picture(self, image: Image.Image, number: int) -> Tensor:
        return to_tensor(image.resize((self.image_size, self.image_size)))

    def _label(self, request: str | int) -> int:
        classes = self.dataset.classes
        if isinstance(request, int) and 0 <= request < len(classes):
            return request
        named = [name for name in classes if isinstance(request, str) and name in request.split()]
        if len(named) != 1:
            raise NanoGenError(f"tiny-task cannot draw {request!r}: name one of {listing(classes)}.")
        return classes.index(named[0])

    def _asked(self, labels: list[int]) -> Batch:
        captions = [f"a {self.dataset.classes[label]} square" for label in labels]
        return Batch(torch.arange(len(labels)), labels=torch.tensor(labels), captions=captions)
