"""The condition of a caption: the token states of a frozen text encoder, padded to one length."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from nanogen_core.errors import NanoGenError
from nanogen_core.specs import ConditionSpec
from nanogen_core.tensors import Batch, Condition
from nanogen_t2i.config import TextConfig
from nanogen_t2i.memory import Remembered
from nanogen_t2i.protocol import TextEncoder


class Text:
    """Captions as encoder states, right-padded.

    The null condition is the empty text. Its mask is all false for every encoder: a backbone sees no condition token.
    """

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
        return self._encoded(batch.captions)

    def null(self, count: int) -> Condition:
        """The empty text `count` times: tokens [count, L, D] and an all-false mask [count, L]."""
        return self._encoded([""]).map(lambda value: value.expand(count, *value.shape[1:]))

    def _encoded(self, texts: Sequence[str]) -> Condition:
        """The texts by the encoder. Special tokens that it adds to an empty text are masked, and their states zero."""
        condition = self._encoder.encode(texts, self.spec.length)
        if all(texts):
            return condition
        assert condition.mask is not None
        shown = torch.tensor([bool(text) for text in texts], device=condition.tokens.device)  # [B]
        tokens = torch.where(shown[:, None, None], condition.tokens, 0.0)
        return Condition(tokens, condition.mask & shown[:, None])
