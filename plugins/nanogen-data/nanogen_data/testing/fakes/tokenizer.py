"""A tokenizer without a network: pixel unshuffle and shuffle."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from attrs import frozen
from torch import Tensor

from nanogen_core.errors import NanoGenError
from nanogen_core.randomness import KeyedRNG
from nanogen_core.specs import LatentSpec


@frozen(kw_only=True)
class TinyTokenizerConfig:
    """Options of TinyTokenizer.

    `factor` is the number of pixels per side of a latent cell. `scale` multiplies the pixel values.
    """

    factor: int = 4
    scale: float = 2.0


class TinyTokenizer:
    """Lossless tokenizer: images [B, 3, H, W] <-> latents [B, 3 * factor^2, H / factor, W / factor]."""

    def __init__(self, config: TinyTokenizerConfig):
        self.config = config

    def latent(self, image_size: int) -> LatentSpec:
        """Return the latent shape. Raises NanoGenError if `factor` does not divide `image_size`."""
        factor = self.config.factor
        if image_size < 1 or image_size % factor:
            raise NanoGenError(f"tiny-tokenizer cannot take images of size {image_size}: use a multiple of {factor}.")
        return LatentSpec(3 * factor**2, image_size // factor, image_size // factor, factor)

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """Encode images [B, 3, H, W] in [-1, 1] to latents [B, 3 * factor^2, h, w]."""
        return F.pixel_unshuffle(images, self.config.factor) * self.config.scale

    def decode(self, latents: Tensor, rng: KeyedRNG | None = None) -> Tensor:
        """Decode latents [B, 3 * factor^2, h, w] to images [B, 3, H, W]."""
        return F.pixel_shuffle(latents / self.config.scale, self.config.factor)
