"""Two conditioners without a network: one-hot labels and one-hot letters."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from attrs import frozen

from nanogen_core.errors import NanoGenError
from nanogen_core.specs import ConditionSpec
from nanogen_core.tensors import Batch, Condition

LETTERS = " abcdefghijklmnopqrstuvwxyz"


class TinyLabels:
    """Conditioner that encodes a label as a single one-hot token. The last index is the null class."""

    def __init__(self, *, classes: Sequence[str]):
        self.spec = ConditionSpec(width=len(classes) + 1, length=1)

    def encode(self, batch: Batch) -> Condition:
        """Encode labels as tokens [B, 1, classes + 1]. Raises NanoGenError for a batch without labels."""
        if batch.labels is None:
            raise NanoGenError("tiny-labels needs labels, but the batch has none: use a task with labels.")
        return Condition(F.one_hot(batch.labels, self.spec.width)[:, None].float())

    def null(self, count: int) -> Condition:
        """Return `count` rows of the null class."""
        null = torch.full((count,), self.spec.width - 1)
        return Condition(F.one_hot(null, self.spec.width)[:, None].float())


@frozen(kw_only=True)
class TinyTextsConfig:
    """Options of TinyTexts. `length`: largest number of letters; longer texts are cut."""

    length: int = 24


class TinyTexts:
    """Conditioner that encodes each letter of a text as a one-hot token.

    The null condition is the empty text, whose mask is all false.
    """

    def __init__(self, config: TinyTextsConfig):
        self.spec = ConditionSpec(width=len(LETTERS), length=config.length, padded=True)

    def encode(self, batch: Batch) -> Condition:
        """Encode captions as tokens [B, L, 27]. Raises NanoGenError for a batch without captions."""
        if batch.captions is None:
            raise NanoGenError("tiny-texts needs captions, but the batch has none: use a task with captions.")
        return self._texts(batch.captions)

    def null(self, count: int) -> Condition:
        """Return `count` rows of the encoded empty text."""
        return self._texts([""] * count)

    def _texts(self, texts: Sequence[str]) -> Condition:
        padding = -1
        longest = max([1, *(len(text) for text in texts)])
        rows = [[max(LETTERS.find(letter), 0) for letter in text.lower()] + [padding] * longest for text in texts]
        length = min(longest, self.spec.length)
        letters = torch.tensor([row[:length] for row in rows], dtype=torch.int64).reshape(-1, length)  # [B, L]
        return Condition(F.one_hot(letters.clamp(min=0), self.spec.width).float(), letters >= 0)
