"""The prompts of a benchmark, and which of them an image answers."""

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


@frozen(slots=False)
class Prompts:
    """Texts in the benchmark's order, each asked for `each` times in a row: image i answers prompt i // each."""

    benchmark: str
    texts: Sequence[str]
    each: int

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the texts, whatever file they came from."""
        return hashlib.sha256("\n".join(json.dumps(text) for text in self.texts).encode()).hexdigest()

    def eval_batch(self) -> Batch:
        """All of them as a request, one row an image."""
        captions = [text for text in self.texts for _ in range(self.each)]
        return Batch(indices=torch.arange(len(captions)), captions=captions)

    def numbers(self, batch: Batch) -> Tensor:
        """The number of the prompt that each image answers [B] int64: by its caption, or else by its index.

        Raises NanoGenError for a caption that is none of the prompts, and for an index past the last one.
        """
        by_index = (batch.indices.cpu() // self.each).tolist()
        if batch.captions is not None:
            pairs = zip(batch.captions, by_index, strict=True)
            return torch.tensor([self._number(caption, number) for caption, number in pairs], dtype=torch.int64)
        beyond = [number for number in by_index if number >= len(self.texts)]
        if beyond:
            raise NanoGenError(
                f"{self.benchmark} has {len(self.texts)} prompts with {self.each} images each, so that there is none "
                f"for prompt {beyond[0]}: give it the answers to its own questions, or set `images_per_prompt`."
            )
        return torch.tensor(by_index, dtype=torch.int64)

    def _number(self, caption: str, likely: int) -> int:
        """Two prompts may have one text, which the index tells apart; some of DPG-Bench have outer white space."""
        text = caption.strip()
        if likely < len(self.texts) and self.texts[likely].strip() == text:
            return likely
        if text not in self._places:
            raise NanoGenError(
                f"{self.benchmark} judges its own prompts alone, and {caption!r} is none of them: ask the model the "
                f"metric's own questions.{near_miss(text, self._places)}"
            )
        return self._places[text]

    @cached_property
    def _places(self) -> dict[str, int]:
        """The first number of each text."""
        return {text.strip(): number for number, text in reversed(list(enumerate(self.texts)))}
