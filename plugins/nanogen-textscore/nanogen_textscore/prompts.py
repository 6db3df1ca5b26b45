"""The prompts of a benchmark, and the prompt that each image was generated for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property

import torch
from attrs import frozen
from torch import Tensor

from nanogen_core.errors import NanoGenError, near_miss
from nanogen_core.tensors import Batch
from nanogen_files.errors import counted

PROMPT = "prompt"  # the column of a metric's rows with the number of the prompt: the unit of the bootstrap


@frozen(slots=False)
class Prompts:
    """The prompts of a benchmark in their official order, with `each` images per prompt.

    Image i of `eval_batch` belongs to prompt i // each.
    """

    benchmark: str
    texts: Sequence[str]
    each: int

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of the texts. It does not depend on the format of the file that contains them."""
        return hashlib.sha256("\n".join(json.dumps(text) for text in self.texts).encode()).hexdigest()

    def eval_batch(self) -> Batch:
        """Return a batch of captions and no images: each prompt `each` times in a row."""
        captions = [text for text in self.texts for _ in range(self.each)]
        return Batch(indices=torch.arange(len(captions)), captions=captions)

    def numbers(self, batch: Batch) -> Tensor:
        """Return the prompt number of each image, [B] int64.

        It follows from the caption, or from the image index if the batch has no captions.

        Raises:
            NanoGenError: A caption is not one of the prompts, or the index of an image without caption is too large.
        """
        by_index = (batch.indices.cpu() // self.each).tolist()
        if batch.captions is not None:
            pairs = zip(batch.captions, by_index, strict=True)
            return torch.tensor([self._number(caption, number) for caption, number in pairs], dtype=torch.int64)
        beyond = [number for number in by_index if number >= len(self.texts)]
        if beyond:
            raise NanoGenError(
                f"{self.benchmark} has {counted(len(self.texts), 'prompt')} with {counted(self.each, 'image')} each,"
                f" so there is no prompt {beyond[0]} (counted from 0). Evaluate only images of the benchmark's"
                " prompts, or set `images_per_prompt` to your number of images per prompt."
            )
        return torch.tensor(by_index, dtype=torch.int64)

    def _number(self, caption: str, likely: int) -> int:
        """Return the number of a caption's prompt.

        `likely`, from the image index, decides between prompts of equal text.
        Some prompts of DPG-Bench have leading or trailing white space, which is ignored.
        """
        text = caption.strip()
        if likely < len(self.texts) and self.texts[likely].strip() == text:
            return likely
        if text not in self._first_numbers:
            raise NanoGenError(
                f"{caption!r} is not a prompt of {self.benchmark}. Generate images for the prompts of the benchmark."
                f"{near_miss(text, self._first_numbers)}"
            )
        return self._first_numbers[text]

    @cached_property
    def _first_numbers(self) -> dict[str, int]:
        """The first prompt number of each text."""
        return {text.strip(): number for number, text in reversed(list(enumerate(self.texts)))}


def caption_numbers(captions: Sequence[str]) -> Tensor:
    """Hash captions to prompt numbers [B] int64, for metrics without an official order of prompts.

    Equal captions have equal numbers in every process.
    """
    heads = [hashlib.sha256(caption.encode()).digest()[:8] for caption in captions]
    return torch.tensor([int.from_bytes(head, "little", signed=True) for head in heads], dtype=torch.int64)
