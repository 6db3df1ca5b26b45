"""The text-to-image task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import torch

from nanogen_core.errors import NanoGenError
from nanogen_core.protocols import Dataset, Examples
from nanogen_core.randomness import key
from nanogen_core.tensors import Batch
from nanogen_data.captions import choice, texts_of
from nanogen_data.corrupt import first_good
from nanogen_data.loader import Reading, iter_once, loader
from nanogen_data.streams import refuse_stream
from nanogen_t2i.crop import ResizeAndCrop

VIEW = "captions"


class T2I:
    """Generates images from captions. Reads any dataset with captions."""

    def __init__(self, *, image_size: int, dataset: Dataset, metrics: Mapping[str, Any] | None = None):
        self.image_size = image_size
        self._dataset = dataset
        self._metrics = metrics or {}
        self._transform = ResizeAndCrop(image_size)

    def batches(
        self, split: str, batch_size: int, *, seed: int = 0, start: int = 0, num_workers: int = 0
    ) -> Iterator[Batch]:
        """Yield batches without end: images [B / P, 3, S, S] in [-1, 1] and their captions, in each of P processes.

        Args:
            split: `"train"` or `"val"`.
            batch_size: B, the total of all processes.
            seed: The seed of the shuffle.
            start: Index of the first batch, from 0.
            num_workers: Worker processes for decoding.
        """
        examples, transform = self.reading(split)
        return loader(examples, batch_size, transform=transform, seed=seed, start=start, num_workers=num_workers)

    def reading(self, split: str) -> Reading:
        """Return the examples of a split and the transform of their images.

        Args:
            split: `"train"` or `"val"`.
        """
        return Reading(self._open(split), self._transform)

    def iter_once(self, split: str, batch_size: int, *, num_workers: int = 0) -> Iterator[Batch]:
        """Yield the examples of a split once, in order, in batches. Each process yields its share of the batches."""
        return iter_once(self._open(split), batch_size, transform=self._transform, num_workers=num_workers)

    def make_batch(self, prompts_or_labels: Sequence[str | int]) -> Batch:
        """Make a batch of captions without images. Raises NanoGenError if the list is empty or contains a number."""
        if not prompts_or_labels:
            raise NanoGenError("The list of prompts is empty. Give at least one caption.")
        captions = [_caption(prompt) for prompt in prompts_or_labels]
        return Batch(indices=torch.arange(len(captions)), captions=captions)

    def eval_batch(self, count: int, *, seed: int = 0) -> Batch:
        """Return a batch of `count` held-out captions, repeated if there are fewer.

        These are `dataset.prompts()` if the dataset has that method. Otherwise they are the captions of its `val`
        split, shuffled by the seed.
        """
        prompts = getattr(self._dataset, "prompts", None)
        held_out = prompts() if prompts is not None else self._held_out(count, seed)
        captions = [held_out[number % len(held_out)] for number in range(count)]
        return Batch(indices=torch.arange(count), captions=captions)

    def captions(self, batch: Batch) -> Sequence[str]:
        """Return the captions of a batch."""
        return batch.captions or ()

    def metrics(self) -> Mapping[str, Any]:
        """Return the metrics of the configuration by name."""
        return self._metrics

    def _held_out(self, count: int, seed: int) -> list[str]:
        examples = self._open("val")
        order = torch.randperm(len(examples), generator=torch.Generator().manual_seed(key(seed, "questions")))
        read = partial(_caption_of, examples)
        return [first_good(read, index, range(len(examples)), [])[1] for index in order[:count].tolist()]

    def _open(self, split: str) -> Examples:
        examples = self._dataset.open(split, self.image_size, VIEW)
        refuse_stream(examples)
        return examples


def _caption_of(examples: Examples, index: int) -> str:
    """Return one caption of an example, without reading its image if the dataset has a method `caption`.

    For several captions, it is the one that `iter_once` uses.
    """
    read = getattr(examples, "caption", None)
    captions = read(index) if read is not None else examples[index].caption
    if captions is None:
        raise NanoGenError(f"Example {index} of the split 'val' has no caption. Use a dataset with captions.")
    return texts_of(captions)[choice(captions, key("once", index))]


def _caption(prompt: str | int) -> str:
    if isinstance(prompt, str):
        return prompt
    raise NanoGenError(
        f"The task 't2i' needs captions, got the number {prompt!r}. Give a text such as 'a red apple', or use a "
        "class-conditional model."
    )
