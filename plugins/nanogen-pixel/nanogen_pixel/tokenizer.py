"""No tokenizer at all, behind the protocol of one."""

from __future__ import annotations

from torch import Tensor

from nanogen_core.randomness import KeyedRNG
from nanogen_core.specs import LatentSpec


class Pixel:
    """The identity: a latent is the image, in [-1, 1] (which is near enough to zero mean and unit variance)."""

    def latent(self, image_size: int) -> LatentSpec:
        """3 x S x S for an image of any size S."""
        return LatentSpec(channels=3, height=image_size, width=image_size, factor=1)

    def encode(self, images: Tensor) -> Tensor:
        """Images [B, 3, H, W] in [-1, 1], as they are, cut off from their gradient."""
        return images.detach()

    def decode(self, latents: Tensor, rng: KeyedRNG | None = None) -> Tensor:
        """Latents [B, 3, H, W] as they are, not clamped: a sample may lie a little outside [-1, 1]."""
        return latents
