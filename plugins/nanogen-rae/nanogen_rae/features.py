"""Frozen features for the discriminator: sequences [B, C, N] at one or several levels."""

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
DINO_BLOCKS = (11, 2, 5, 8, 11)  # counted from 0; as published, the last block is used twice


class Features(Protocol):
    """Protocol of frozen features: `levels` sequences of `width` channels. Gradients reach the images."""

    width: int
    levels: int

    def __call__(self, images: Tensor) -> Sequence[Tensor]:
        """Map images [B, 3, H, W] in [-1, 1] to one [B, C, N] per level."""


class DinoFeatures:
    """Patch tokens after blocks 2, 5, 8 and 11 of DINO-S/8, counted from 0, without class token and final norm.

    Block 11 is used for two of the five levels, as published.

    Raises:
        DataError: The network has too few blocks.
    """

    levels = len(DINO_BLOCKS)

    def __init__(self, network: DinoViT):
        if len(network.blocks) <= max(DINO_BLOCKS):
            raise DataError(
                f"The discriminator's DINO has {len(network.blocks)} blocks, but {max(DINO_BLOCKS) + 1} are needed. Set"
                " `stage.dino` to DINO-S/8."
            )
        self.network, self.width = network, network.width

    def prepared(self, images: Tensor) -> Tensor:
        """Resize and normalise images [B, 3, H, W] in [-1, 1] for the network: to [B, 3, 224, 224] for DINO-S/8."""
        return prepared(images, self.network.side, DINO_INPUT)

    def __call__(self, images: Tensor) -> Sequence[Tensor]:
        """Map images [B, 3, H, W] in [-1, 1] to five levels, each [B, C, N]."""
        states = self.network(self.prepared(images))
        return [states[block].mT for block in DINO_BLOCKS]


class EncoderFeatures:
    """Tokens of the RAE's own encoder, at one level. Unlike DINO, this needs no further weights."""

    levels = 1

    def __init__(self, encoder: VisionEncoder):
        self._encoder = encoder
        self.width = encoder.width

    def __call__(self, images: Tensor) -> Sequence[Tensor]:
        """Map images [B, 3, H, W] in [-1, 1] to one level [B, C, N]."""
        return [self._encoder.forward_features(images).tokens.mT]
