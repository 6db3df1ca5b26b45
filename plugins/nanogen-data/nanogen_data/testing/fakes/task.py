"""A task on coloured squares. Its batches have both labels and captions, for either conditioner."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from nanogen_core.errors import NanoGenError, listing
from nanogen_core.protocols import Examples
from nanogen_core.randomness import key
from nanogen_core.tensors import Batch
from nanogen_data.testing.fakes.dataset import TinyDataset


class TinyTask:
    """Task on coloured squares. A request is a text with a colour, or a label: `make_batch(["a red square", 1])`."""

    def __init__(self, *, dataset: TinyDataset, image_size: int, metrics: Mapping[str, Any] | None = None):
        self.dataset = dataset
        self.image_size = image_size
        self._metrics = metrics or {}

    def batches(
        self, split: str, batch_size: int, *, seed: int = 0, start: int = 0, num_workers: int = 0
    ) -> Iterator[Batch]:
        """Iterate over shuffled batches endlessly, from batch `start`."""
        examples = self.dataset.open(split, self.image_size, "labels")
        for first in itertools.count(start * batch_size, batch_size):
            yield self._batch(
                examples, [_shuffled(seed, row, len(examples)) for row in range(first, first + batch_size)]
            )

    def iter_once(self, split: str, batch_size: int, *, num_workers: int = 0) -> Iterator[Batch]:
        """Iterate over the split once, in order."""
        examples = self.dataset.open(split, self.image_size, "labels")
        for first in range(0, len(examples), batch_size):
            yield self._batch(examples, list(range(first, min(first + batch_size, len(examples)))))

    def make_batch(self, prompts_or_labels: Sequence[str | int]) -> Batch:
        """Convert requests to a batch. Raises NanoGenError for an unknown label, and for zero or several colours."""
        return self._requests([self._label(request) for request in prompts_or_labels])

    def eval_batch(self, count: int, *, seed: int = 0) -> Batch:
        """Return `count` requests that cycle through the colours."""
        return self._requests([number % len(self.dataset.classes) for number in range(count)])

    def captions(self, batch: Batch) -> Sequence[str]:
        """Return the captions of the batch."""
        return batch.captions or ()

    def metrics(self) -> Mapping[str, Any]:
        """Return the configured metrics."""
        return self._metrics

    def _batch(self, examples: Examples, rows: list[int]) -> Batch:
        chosen = [examples[row] for row in rows]
        images = torch.stack([example.image for example in chosen])
        labels = torch.tensor([example.label for example in chosen])
        return Batch(torch.tensor(rows), images=images, labels=labels, captions=[str(e.caption) for e in chosen])

    def _label(self, request: str | int) -> int:
        classes = self.dataset.classes
        if isinstance(request, int) and 0 <= request < len(classes):
            return request
        named = [name for name in classes if isinstance(request, str) and name in request.split()]
        if len(named) != 1:
            raise NanoGenError(f"tiny-task cannot draw {request!r}: use one of {listing(classes)}.")
        return classes.index(named[0])

    def _requests(self, labels: list[int]) -> Batch:
        captions = [f"a {self.dataset.classes[label]} square" for label in labels]
        return Batch(torch.arange(len(labels)), labels=torch.tensor(labels), captions=captions)


def _shuffled(seed: int, row: int, count: int) -> int:
    """Return the example index at position `row` of the endless shuffled stream."""
    epoch, position = divmod(row, count)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(key(seed, "order", epoch)))
    return int(order[position])
