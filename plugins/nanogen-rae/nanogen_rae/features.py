"""Frozen features that a discriminator judges: sequences [B, C, N], of one level or several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from nanogen_core.errors import DataError
from nanogen_rae.dino import DinoViT
from nanogen_rae.families import IMAGENET, Input
from nanogen_rae.pixels import prepared
from nanogen_rae.protocol import VisionEncoder

DINO_INPUT = Input("bilinear", IMAGENET)  # without antialiasing
DINO_BLOCKS = (11, 2, 5, 8, 11)  # counted from 0; the last block's tokens come first, and once more at the end


class Features(Protocol):
    """Every level is as wide; gradients go through to the images."""

    width: int
    levels: int

    def __call__(self, images: Tensor) -> Sequence[Tensor]:
        """Images [B, 3, H, W] in [-1, 1] -> `levels` x [B, C, N]."""


class Dino:
    """Patch tokens after some blocks of DINO-S/8, without class token and without the final norm."""

    levels = len(DINO_BLOCKS)

    def __init__(self, network: DinoViT):
        """Raises DataError for a network that has too few blocks."""
        if len(network.blocks) <= max(DINO_BLOCKS):
            raise DataError(
                f"The discriminator's DINO has {len(network.blocks)} blocks, and {max(DINO_BLOCKS) + 1} are needed."
            )
        self.network, self.width = network, network.width

    def prepared(self, images: Tensor) -> Tensor:
        """Images [B, 3, H, W] in [-1, 1] -> what the network sees of them [B, 3, 224, 224]."""
        return prepared(images, self.network.side, DINO_INPUT)

    def __call__(self, images: Tensor) -> Sequence[Tensor]:
        """Images [B, 3, H, W] in [-1, 1] -> 5 x [B, C, N]."""
        states = self.network(self.prepared(images))
        return [states[block].mT for block in DINO_BLOCKS]


class Own:
    """The tokens of the RAE's own encoder: nothing more to download, for laptops."""

    levels = 1

    def __init__(self, encoder: VisionEncoder):
        self._encoder = encoder
        self.width = encoder.width

    def __call__(self, images: Tensor) -> Sequence[Tensor]:
        """Images [B, 3, H, W] in [-1, 1] -> 1 x [B, C, N]."""
        return [self._encoder.forward_features(images).tokens.mT]
