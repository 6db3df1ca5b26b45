"""Texts as bytes: one one-hot token for each byte of a caption or class name."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from nanogen_core.errors import NanoGenError
from nanogen_core.specs import ConditionSpec
from nanogen_core.tensors import Batch, Condition

from nanogen_placeholder.config import PlaceholderConfig

BYTES = 256


class Placeholder:
    """Encodes captions, or the class names of labels, as UTF-8 bytes. The null condition is the empty text.

    Args:
        config: Options.
        classes: Class names in the order of the labels; empty for a dataset without labels.
    """

    def __init__(self, config: PlaceholderConfig, *, classes: Sequence[str]):
        self.classes = tuple(classes)
        self.spec = ConditionSpec(width=BYTES, length=config.length, padded=True)
        self.device = torch.device("cpu")

    def to(self, device: torch.device | str) -> Placeholder:
        """Move later conditions to a device."""
        self.device = torch.device(device)
        return self

    def encode(self, batch: Batch) -> Condition:
        """Encode a batch as tokens [B, L, 256] with a mask [B, L]."""
        if batch.captions is not None:
            return self._encoded(batch.captions)
        if batch.labels is not None:
            return self._encoded([self.classes[label] for label in batch.labels.tolist()])
        raise NanoGenError("placeholder needs captions or labels, but the batch has neither.")

    def null(self, count: int) -> Condition:
        """Return the empty text `count` times. Its mask is all false."""
        return self._encoded([""] * count)

    def _encoded(self, texts: Sequence[str]) -> Condition:
        rows = [text.encode()[: self.spec.length] for text in texts]
        length = max([1, *(len(row) for row in rows)])
        padded = torch.zeros(len(rows), length, dtype=torch.int64)  # [B, L]
        mask = torch.zeros(len(rows), length, dtype=torch.bool)  # [B, L]
        for number, row in enumerate(rows):
            padded[number, : len(row)] = torch.tensor([*row], dtype=torch.int64)
            mask[number, : len(row)] = True
        tokens = F.one_hot(padded, BYTES).float() * mask[..., None]
        return Condition(tokens.to(self.device), mask.to(self.device))
