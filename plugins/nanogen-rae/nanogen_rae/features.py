"""Frozen features that a discriminator judges: sequences [B, C, N], of one level or several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from nanogen_rae.families import IMAGENET, Family, Input, Layout
from nanogen_rae.pixels import prepared
from nanogen_rae.protocol import VisionEncoder
from nanogen_rae.source import Source
from nanogen_rae.taps import tapped

DINO = Family(Layout("transformers", "ViTModel", "layers", "layernorm"), Input("bicubic", IMAGENET))
DINO_SIDE = 224
DINO_BLOCKS = (2, 5, 8, 11)


class Features(Protocol):
    """Every level is as wide; gradients go through to the images."""

    width: int
    levels: int

    def __call__(self, images: Tensor) -> Sequence[Tensor]:
        """Images [B, 3, H, W] in [-1, 1] -> `levels` x [B, C, N]."""


class Dino:
    """DINO-S/8 (Caron et al., arXiv 2104.14294): patch embeddings and four blocks, the class token added to each."""

    levels = 1 + len(DINO_BLOCKS)

    def __init__(self, path: str, device: torch.device):
        """Raises DataError where the weights are not at hand."""
        source = Source("DINO-S/8 of the discriminator (stage.dino)", path, DINO)
        self._model: Any = source.load(DINO_SIDE, torch.float32).to(device)
        self.width: int = self._model.config.hidden_size

    def __call__(self, images: Tensor) -> Sequence[Tensor]:
        """Images [B, 3, H, W] in [-1, 1] -> 5 x [B, C, N]."""
        places = [self._model.layers[place] for place in DINO_BLOCKS if place < len(self._model.layers)]
        with tapped([self._model.embeddings, *places]) as states:
            self._model(prepared(images, DINO_SIDE, DINO.input))
        return [(state[:, 1:] + state[:, :1]).mT for state in states]


class Own:
    """The tokens of the RAE's own encoder: nothing more to download, for laptops."""

    levels = 1

    def __init__(self, encoder: VisionEncoder):
        self._encoder = encoder
        self.width = encoder.width

    def __call__(self, images: Tensor) -> Sequence[Tensor]:
        """Images [B, 3, H, W] in [-1, 1] -> 1 x [B, C, N]."""
        return [self._encoder.look(images).tokens.mT]
