"""Caches the encodings of recent captions in memory, without padding."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from nanogen_core.protocols import TextEncoder
from nanogen_core.tensors import Condition
from nanogen_t2i.copies import to_device


class CachedEncoder:
    """A text encoder with an LRU cache of the encodings of up to `size` texts.

    A call with new texts waits for the device once, to read the numbers of their tokens. Other calls do not wait.
    """

    def __init__(self, encoder: TextEncoder, size: int):
        self.width, self.max_length = encoder.width, encoder.max_length
        self._encoder = encoder
        self._size = size
        self._cache: OrderedDict[str, Tensor] = OrderedDict()  # text -> states of its n tokens [n, D]

    def to(self, device: torch.device | str) -> None:
        """Move the encoder to a device, and clear the cache."""
        self._cache.clear()
        self._encoder.to(device)

    def encode(self, texts: Sequence[str], length: int) -> Condition:
        """Encode texts as the encoder does. Only texts that are not cached are passed to it, each once.

        `length` must be the same in all calls, because the cache ignores it.
        """
        new = [text for text in dict.fromkeys(texts) if text not in self._cache]
        rows = {text: self._cache[text] for text in texts if text in self._cache}
        if new:
            rows.update(zip(new, _without_padding(self._encoder.encode(new, length)), strict=True))
        self._store({text: rows[text] for text in texts})
        return _padded([rows[text] for text in texts])

    def _store(self, rows: dict[str, Tensor]) -> None:
        for text, row in rows.items():
            self._cache[text] = row
            self._cache.move_to_end(text)
        while len(self._cache) > self._size:
            self._cache.popitem(last=False)


def _without_padding(condition: Condition) -> list[Tensor]:
    assert condition.mask is not None
    counts = condition.mask.sum(dim=1).tolist()
    return [tokens[:n].clone() for tokens, n in zip(condition.tokens, counts, strict=True)]  # [n, D] each


def _padded(rows: Sequence[Tensor]) -> Condition:
    tokens = pad_sequence([*rows, rows[0].new_empty(1, rows[0].shape[1])], batch_first=True)[:-1]  # [B, L, D], L >= 1
    counts = to_device(torch.tensor([len(row) for row in rows]), tokens.device)
    return Condition(tokens, torch.arange(tokens.shape[1], device=tokens.device) < counts[:, None])
