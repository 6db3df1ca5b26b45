"""What a component of kind `encoder` that provides `text` is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch

from nanogen_core.tensors import Condition


class TextEncoder(Protocol):
    """A frozen text model. Its width is known without its weights."""

    @property
    def width(self) -> int:
        """The width D of a token's state."""

    @property
    def max_length(self) -> int:
        """The most tokens that a text is given."""

    def encode(self, texts: Sequence[str], length: int) -> Condition:
        """Texts -> states [B, length, D] float32, and a mask [B, length] whose True come first; padding is zero."""

    def to(self, device: torch.device | str) -> object:
        """Where texts are encoded from now on."""
