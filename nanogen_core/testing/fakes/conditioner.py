"""Two conditioners without a network: labels as one-hot tokens, texts as letters."""

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
    """One one-hot token for each sample; the last place is the null class."""

    def __init__(self, *, classes: Sequence[str]):
        self.spec = ConditionSpec(width=len(classes) + 1, length=1)

    def encode(self, batch: Batch) -> Condition:
        """Tokens [B, 1, classes + 1]. Raises NanoGenError for a batch without labels."""
        if batch.labels is None:
            raise NanoGenError("tiny-labels needs labels, and this batch has none.")
        return Condition(F.one_hot(batch.labels, self.spec.width)[:, None].float())

    def null(self, count: int) -> Condition:
        """The null class, `count` times."""
        null = torch.full((count,), self.spec.width - 1)
        return Condition(F.one_hot(null, self.spec.width)[:, None].float())


@frozen(kw_only=True)
class TinyTextsConfig:
    """Texts are cut at `length` letters."""

    length: int = 24


class TinyTexts:
    """A one-hot token for each letter. The empty text has none, and an all-false mask."""

    def __init__(self, config: TinyTextsConfig):
        self.spec = ConditionSpec(width=len(LETTERS), length=config.length, padded=True)

    def encode(self, batch: Batch) -> Condition:
        """Tokens [B, length, 27]. Raises NanoGenError for a batch without captions."""
        if batch.captions is None:
            raise NanoGenError("tiny-texts needs captions, and this batch has none.")
        return self._texts(batch.captions)

    def null(self, count: int) -> Condition:
        """The empty text, `count` times."""
        return self._texts([""] * count)

    def _texts(self, texts: Sequence[str]) -> Condition:
        padding = -1
        rows = [[max(LETTERS.find(letter), 0) for letter in text.lower()] for text in texts]
        cut = [(row + [padding] * self.spec.length)[: self.spec.length] for row in rows]
        letters = torch.tensor(cut)  # [B, length]
        return Condition(F.one_hot(letters.clamp(min=0), self.spec.width).float(), letters >= 0)
