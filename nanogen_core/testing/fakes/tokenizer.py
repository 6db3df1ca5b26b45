"""A tokenizer without a network: squares of pixels folded into channels, and back."""

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
    """`factor` x `factor` pixels become one cell; latents are the pixels times `scale`."""

    factor: int = 4
    scale: float = 2.0


class TinyTokenizer:
    """Exact in both directions: [B, 3, H, W] <-> [B, 3 * factor^2, H / factor, W / factor]."""

    def __init__(self, config: TinyTokenizerConfig):
        self.config = config

    def latent(self, image_size: int) -> LatentSpec:
        """Raises NanoGenError for a size that the factor does not divide."""
        factor = self.config.factor
        if image_size < 1 or image_size % factor:
            raise NanoGenError(f"tiny-tokenizer cannot take images of size {image_size}: use a multiple of {factor}.")
        return LatentSpec(3 * factor**2, image_size // factor, image_size // factor, factor)

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """Images [B, 3, H, W] in [-1, 1] -> latents [B, 3 * factor^2, h, w]."""
        return F.pixel_unshuffle(images, self.config.factor) * self.config.scale

    def decode(self, latents: Tensor, rng: KeyedRNG | None = None) -> Tensor:
        """Latents [B, 3 * factor^2, h, w] -> images [B, 3, H, W]; nothing is drawn."""
        return F.pixel_shuffle(latents / self.config.scale, self.config.factor)
