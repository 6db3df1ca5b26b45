"""The conditioner `text`: captions as token states of a frozen text encoder."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from nanogen_core.errors import NanoGenError
from nanogen_core.protocols import TextEncoder
from nanogen_core.specs import ConditionSpec
from nanogen_core.tensors import Batch, Condition
from nanogen_t2i.config import TextConfig
from nanogen_t2i.copies import to_device
from nanogen_t2i.encoding_cache import CachedEncoder


class Text:
    """Encodes captions as token states of the encoder, right-padded to the longest caption of the batch.

    The null condition is the empty text. Its mask is all false for every encoder, so backbones get no condition tokens.
    """

    def __init__(self, config: TextConfig, *, encoder: TextEncoder):
        """Raises NanoGenError if `length` exceeds the encoder's `max_length`."""
        length = config.length or encoder.max_length
        if length > encoder.max_length:
            raise NanoGenError(
                f"`conditioner.length` is {length}, but the encoder has at most {encoder.max_length} tokens. Lower "
                f"`conditioner.length`, or raise `encoder.max_length`."
            )
        self.spec = ConditionSpec(width=encoder.width, length=length, normalize=True, padded=True)
        self._device = torch.device("cpu")
        self._encoder = CachedEncoder(encoder, config.cache_size) if config.cache_size else encoder

    def to(self, device: torch.device | str) -> Text:
        """Run later calls on a device. Returns self."""
        self._device = torch.device(device)
        self._encoder.to(device)
        return self

    def encode(self, batch: Batch) -> Condition:
        """Encode B captions as tokens [B, L, D] float32 with a mask [B, L].

        Raises NanoGenError for a batch without captions.
        """
        if batch.captions is None:
            raise NanoGenError(
                "The conditioner 'text' needs captions, but the batch has none. Use a task with captions, or another "
                "conditioner."
            )
        return self._encoded(batch.captions)

    def null(self, count: int) -> Condition:
        """Return the null condition `count` times: zero tokens [count, 1, D] with an all-false mask [count, 1]."""
        tokens = torch.zeros(count, 1, self.spec.width, device=self._device)
        return Condition(tokens, torch.zeros(count, 1, dtype=torch.bool, device=self._device))

    def _encoded(self, texts: Sequence[str]) -> Condition:
        """Encode texts. Special tokens of an empty text are masked, and their states set to zero."""
        condition = self._encoder.encode(texts, self.spec.length)
        if all(texts):
            return condition
        assert condition.mask is not None
        nonempty = to_device(torch.tensor([bool(text) for text in texts]), condition.tokens.device)  # [B]
        tokens = torch.where(nonempty[:, None, None], condition.tokens, 0.0)
        return Condition(tokens, condition.mask & nonempty[:, None])
