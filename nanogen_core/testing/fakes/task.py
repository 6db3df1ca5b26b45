"""A task over coloured squares that asks by colour or by caption, whichever the conditioner reads. One process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from attrs import frozen

from nanogen_core.errors import NanoGenError, listing
from nanogen_core.randomness import key
from nanogen_core.tensors import Batch
from nanogen_core.testing.fakes.dataset import Square, TinyDataset


@frozen(kw_only=True)
class TinyTaskConfig:
    """`shuffle`: whether the order is drawn anew in each epoch."""

    shuffle: bool = True


class TinyTask:
    """Batches with labels and captions; requests are `"red"`, `1` or `"a red square"`."""

    def __init__(self, config: TinyTaskConfig, *, dataset: TinyDataset, image_size: int):
        self.config = config
        self.dataset = dataset
        self.image_size = image_size

    def batches(
        self, split: str, batch_size: int, *, seed: int = 0, start: int = 0, workers: int = 0
    ) -> Iterator[Batch]:
        """Batches without end from batch `start` on; those at the end of an epoch go on into the next."""
        examples = self.dataset.open(split, self.image_size, "labels")
        places = self._places(len(examples), seed, start * batch_size)
        while True:
            indices = [next(places) for _ in range(batch_size)]
            yield _batch(indices, [examples[index] for index in indices])

    def once(self, split: str, batch_size: int, *, workers: int = 0) -> Iterator[Batch]:
        """Every example of the split once, in order; the last batch may be smaller."""
        examples = self.dataset.open(split, self.image_size, "labels")
        for start in range(0, len(examples), batch_size):
            indices = list(range(start, min(start + batch_size, len(examples))))
            yield _batch(indices, [examples[index] for index in indices])

    def _places(self, count: int, seed: int, skipped: int) -> Iterator[int]:
        epoch, place = divmod(skipped, count)
        while True:
            generator = torch.Generator().manual_seed(key(seed, "order", epoch))
            order = torch.randperm(count, generator=generator) if self.config.shuffle else torch.arange(count)
            yield from order[place:].tolist()
            epoch, place = epoch + 1, 0

    def ask(self, prompts_or_labels: Sequence[str | int]) -> Batch:
        """Requests as a batch. Raises NanoGenError where no colour is named."""
        return self._asked([self._label(request) for request in prompts_or_labels])

    def questions(self, count: int, *, seed: int = 0) -> Batch:
        """The colours in turn."""
        return self._asked([number % len(self.dataset.classes) for number in range(count)])

    def describe(self, batch: Batch) -> Sequence[str]:
        """The captions."""
        return batch.captions or ()

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


def _batch(indices: list[int], squares: list[Square]) -> Batch:
    return Batch(
        torch.tensor(indices),
        images=torch.stack([square.image for square in squares]),
        labels=torch.tensor([square.label for square in squares]),
        captions=[square.caption for square in squares],
    )
