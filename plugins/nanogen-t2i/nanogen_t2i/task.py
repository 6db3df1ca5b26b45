"""The text-to-image task: which images, which captions, and how the result is judged."""

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
from nanogen_t2i.crop import ResizeAndCrop

VIEW = "captions"


class T2I:
    """Draws what a caption says. Reads any dataset that gives captions."""

    def __init__(self, *, image_size: int, dataset: Dataset, metrics: Mapping[str, Any] | None = None):
        self.image_size = image_size
        self._dataset = dataset
        self._metrics = metrics or {}
        self._transform = ResizeAndCrop(image_size)

    def batches(
        self, split: str, batch_size: int, *, seed: int = 0, start: int = 0, num_workers: int = 0
    ) -> Iterator[Batch]:
        """Batches without end of images [B, 3, S, S] in [-1, 1] and B captions."""
        examples, transform = self.reading(split)
        return loader(examples, batch_size, transform=transform, seed=seed, start=start, num_workers=num_workers)

    def reading(self, split: str) -> Reading:
        """The examples of a split, and what becomes of their images."""
        return Reading(self._open(split), self._transform)

    def iter_once(self, split: str, batch_size: int, *, num_workers: int = 0) -> Iterator[Batch]:
        """Every image of the split once, in order: what reference statistics are made of."""
        return iter_once(self._open(split), batch_size, transform=self._transform, num_workers=num_workers)

    def make_batch(self, prompts_or_labels: Sequence[str | int]) -> Batch:
        """Captions as a request. Raises NanoGenError for an empty one, and for what is no text."""
        if not prompts_or_labels:
            raise NanoGenError("Nothing was asked for: give at least one caption.")
        captions = [_caption(prompt) for prompt in prompts_or_labels]
        return Batch(indices=torch.arange(len(captions)), captions=captions)

    def eval_batch(self, count: int, *, seed: int = 0) -> Batch:
        """`count` held-out captions; they repeat where there are fewer.

        They are `dataset.prompts()`, in the order that the dataset chose, where it has that, and else the captions of
        its `val` split in an order keyed by the seed.
        """
        prompts = getattr(self._dataset, "prompts", None)
        questions = prompts() if prompts is not None else self._held_out(count, seed)
        captions = [questions[number % len(questions)] for number in range(count)]
        return Batch(indices=torch.arange(count), captions=captions)

    def captions(self, batch: Batch) -> Sequence[str]:
        """The captions."""
        return batch.captions or ()

    def metrics(self) -> Mapping[str, Any]:
        """The metrics of the configuration by name."""
        return self._metrics

    def _held_out(self, count: int, seed: int) -> list[str]:
        examples = self._open("val")
        order = torch.randperm(len(examples), generator=torch.Generator().manual_seed(key(seed, "questions")))
        ask = partial(_caption_of, examples)
        return [first_good(ask, index, len(examples), [])[1] for index in order[:count].tolist()]

    def _open(self, split: str) -> Examples:
        return self._dataset.open(split, self.image_size, VIEW)


def _caption_of(examples: Examples, index: int) -> str:
    """One caption, without its image where the dataset can give it so. Of several, the one that `once` takes."""
    alone = getattr(examples, "caption", None)
    captions = alone(index) if alone is not None else examples[index].caption
    if captions is None:
        raise NanoGenError(f"Example {index} of the split has no caption, and its captions are to be asked for.")
    texts = texts_of(captions)
    return texts[choice(texts, key("once", index))]


def _caption(prompt: str | int) -> str:
    if isinstance(prompt, str):
        return prompt
    raise NanoGenError(
        f"The task 't2i' draws captions, and {prompt!r} is a number: ask for a text such as 'a red apple', or use a "
        f"model of a task with labels."
    )
