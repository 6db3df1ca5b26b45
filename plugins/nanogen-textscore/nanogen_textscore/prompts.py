"""The prompts of a benchmark, and which of them an image answers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

import torch
from attrs import frozen
from torch import Tensor

from nanogen_core.errors import NanoGenError
from nanogen_core.tensors import Batch


@frozen
class Prompts:
    """Texts in the benchmark's order, each asked for `each` times in a row: image i answers prompt i // each."""

    benchmark: str
    texts: Sequence[str]
    each: int

    @property
    def digest(self) -> str:
        """SHA-256 of the texts, whatever file they came from."""
        return hashlib.sha256("\n".join(json.dumps(text) for text in self.texts).encode()).hexdigest()

    def questions(self) -> Batch:
        """All of them as a request, one row an image."""
        captions = [text for text in self.texts for _ in range(self.each)]
        return Batch(indices=torch.arange(len(captions)), captions=captions)

    def numbers(self, batch: Batch) -> Tensor:
        """The number of the prompt that each image answers [B] int64.

        Raises NanoGenError for an index past the last prompt, and for a caption that is not the prompt of its index.
        """
        numbers = batch.indices.cpu() // self.each
        if len(numbers) and not 0 <= int(numbers.min()) <= int(numbers.max()) < len(self.texts):
            raise NanoGenError(
                f"Image {int(batch.indices.max())} answers no prompt of {self.benchmark}, which has {len(self.texts)} "
                f"with {self.each} images each: give its own questions, or set `images_per_prompt`."
            )
        for number, caption in zip(numbers.tolist(), batch.captions or (), strict=False):
            if caption.strip() != self.texts[number].strip():  # some prompts of DPG-Bench have outer white space
                raise NanoGenError(
                    f"{self.benchmark} judges its own prompts alone, and prompt {number} is {self.texts[number]!r}, "
                    f"not {caption!r}: ask the model the metric's own questions."
                )
        return numbers
