"""The text-to-image task: which images, which captions, and how the result is judged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from nanogen_core.data import loader, once
from nanogen_core.errors import NanoGenError
from nanogen_core.protocols import Dataset, Examples
from nanogen_core.randomness import key
from nanogen_core.tensors import Batch
from nanogen_t2i.captions import Captions
from nanogen_t2i.crop import ResizeAndCrop

VIEW = "captions"


class T2I:
    """Draws what a caption says. Reads any dataset that gives captions."""

    def __init__(self, *, image_size: int, dataset: Dataset):
        self.image_size = image_size
        self._dataset = dataset
        self._transform = ResizeAndCrop(image_size)

    def batches(
        self, split: str, batch_size: int, *, seed: int = 0, start: int = 0, workers: int = 0
    ) -> Iterator[Batch]:
        """Batches without end of images [B, 3, S, S] in [-1, 1] and B captions."""
        return loader(self._open(split), batch_size, transform=self._transform, seed=seed, start=start, workers=workers)

    def once(self, split: str, batch_size: int, *, workers: int = 0) -> Iterator[Batch]:
        """Every image of the split once, in order: what reference statistics are made of."""
        return once(self._open(split), batch_size, transform=self._transform, workers=workers)

    def ask(self, prompts_or_labels: Sequence[str | int]) -> Batch:
        """Captions as a request. Raises NanoGenError for an empty one, and for what is no text."""
        if not prompts_or_labels:
            raise NanoGenError("Nothing was asked for: give at least one caption.")
        captions = [_caption(prompt) for prompt in prompts_or_labels]
        return Batch(indices=torch.arange(len(captions)), captions=captions)

    def questions(self, count: int, *, seed: int = 0) -> Batch:
        """`count` held-out captions in an order keyed by the seed; they repeat where there are fewer.

        They are `dataset.prompts()` where the dataset has that, and else the captions of its `val` split.
        """
        prompts = self._prompts()
        order = torch.randperm(len(prompts), generator=torch.Generator().manual_seed(key(seed, "questions")))
        places = order[torch.arange(count) % len(prompts)].tolist()
        return Batch(indices=torch.arange(count), captions=[prompts[place] for place in places])

    def metrics(self) -> Sequence[str]:
        """GenEval, DPG-Bench and GenAI-Bench."""
        return ("geneval", "dpgbench", "genaibench")

    def _open(self, split: str) -> Examples:
        return self._dataset.open(split, self.image_size, VIEW)

    def _prompts(self) -> Sequence[str]:
        own = getattr(self._dataset, "prompts", None)
        return own() if own is not None else _captions(self._open("val"))


def _captions(examples: Examples) -> Captions:
    return Captions(len(examples), lambda index: examples[index].caption or "")


def _caption(prompt: str | int) -> str:
    if isinstance(prompt, str):
        return prompt
    raise NanoGenError(
        f"The task 't2i' draws captions, and {prompt!r} is a number: ask for a text such as 'a red apple', or use a "
        f"model of a task with labels."
    )
