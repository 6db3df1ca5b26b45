"""Identity tokenizer for diffusion on pixels."""

from __future__ import annotations

from torch import Tensor

from nanogen_core.randomness import KeyedRNG
from nanogen_core.specs import LatentSpec


class Pixel:
    """Identity tokenizer: the latent is the image in [-1, 1], without further normalisation."""

    def latent(self, image_size: int) -> LatentSpec:
        """Return the latent's shape, 3 x S x S for images of size S."""
        return LatentSpec(channels=3, height=image_size, width=image_size, factor=1)

    def encode(self, images: Tensor) -> Tensor:
        """Return the images [B, 3, H, W] in [-1, 1], detached."""
        return images.detach()

    def decode(self, latents: Tensor, rng: KeyedRNG | None = None) -> Tensor:
        """Return the latents [B, 3, H, W] without clamping to [-1, 1]."""
        return latents
