"""The condition of a caption: the token states of a frozen text encoder, padded to one length."""

from __future__ import annotations

import torch

from nanogen_core.errors import NanoGenError
from nanogen_core.specs import ConditionSpec
from nanogen_core.tensors import Batch, Condition
from nanogen_t2i.config import TextConfig
from nanogen_t2i.memory import Remembered
from nanogen_t2i.protocol import TextEncoder


class Text:
    """Captions as encoder states, right-padded; the null condition is the encoding of the empty text."""

    def __init__(self, config: TextConfig, *, encoder: TextEncoder):
        length = config.length or encoder.max_length
        if length > encoder.max_length:
            raise NanoGenError(
                f"The conditioner 'text' asks for {length} tokens, and its encoder gives {encoder.max_length}: lower "
                f"`conditioner.length` or raise `encoder.max_length`."
            )
        self.spec = ConditionSpec(width=encoder.width, length=length, normalize=True, padded=True)
        self._encoder = Remembered(encoder, config.remember) if config.remember else encoder

    def to(self, device: torch.device | str) -> Text:
        """Where conditions are made from now on; returns the conditioner itself."""
        self._encoder.to(device)
        return self

    def encode(self, batch: Batch) -> Condition:
        """B captions -> tokens [B, L, D] float32, mask [B, L]. Raises NanoGenError for a batch without captions."""
        if batch.captions is None:
            raise NanoGenError(
                "The conditioner 'text' was given a batch without captions: its task must give captions, or choose "
                "another conditioner."
            )
        return self._encoder.encode(batch.captions, self.spec.length)

    def null(self, count: int) -> Condition:
        """The empty text `count` times, with its own mask: tokens [count, L, D], mask [count, L]."""
        empty = self._encoder.encode([""], self.spec.length)
        assert empty.mask is not None
        return Condition(empty.tokens.expand(count, -1, -1), empty.mask.expand(count, -1))
