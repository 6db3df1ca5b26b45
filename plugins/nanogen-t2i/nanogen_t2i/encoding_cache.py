"""Encodings of the captions that came up last, kept without their padding."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from nanogen_core.tensors import Condition
from nanogen_t2i.protocol import TextEncoder


class Remembered:
    """A text encoder that keeps its answers to `size` texts; the least recently used one goes first."""

    def __init__(self, encoder: TextEncoder, size: int):
        self.width, self.max_length = encoder.width, encoder.max_length
        self._encoder = encoder
        self._size = size
        self._kept: OrderedDict[str, Tensor] = OrderedDict()  # text -> [n, D], its n real tokens

    def to(self, device: torch.device | str) -> None:
        """Moves the encoder, and forgets what lies elsewhere."""
        self._kept.clear()
        self._encoder.to(device)

    def encode(self, texts: Sequence[str], length: int) -> Condition:
        """As the encoder does, which is asked only for the texts that are not kept, each of them once."""
        new = [text for text in dict.fromkeys(texts) if text not in self._kept]
        rows = {text: self._kept[text] for text in texts if text in self._kept}
        if new:
            rows.update(zip(new, _real_tokens(self._encoder.encode(new, length)), strict=True))
        self._keep({text: rows[text] for text in texts})
        return _padded([rows[text] for text in texts], length)

    def _keep(self, rows: dict[str, Tensor]) -> None:
        for text, row in rows.items():
            self._kept[text] = row
            self._kept.move_to_end(text)
        while len(self._kept) > self._size:
            self._kept.popitem(last=False)


def _real_tokens(condition: Condition) -> list[Tensor]:
    assert condition.mask is not None
    return [tokens[mask] for tokens, mask in zip(condition.tokens, condition.mask, strict=True)]  # [n, D] each


def _padded(rows: Sequence[Tensor], length: int) -> Condition:
    tokens = pad_sequence([*rows, rows[0].new_empty(length, rows[0].shape[1])], batch_first=True)[:-1]  # [B, L, D]
    counts = torch.tensor([len(row) for row in rows], device=tokens.device)
    return Condition(tokens, torch.arange(length, device=tokens.device) < counts[:, None])
