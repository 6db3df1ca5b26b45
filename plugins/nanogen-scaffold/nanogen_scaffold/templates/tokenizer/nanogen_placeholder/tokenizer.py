"""Space-to-depth: a tokenizer without a network. Each latent cell holds the pixels of a square."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from nanogen_core.errors import NanoGenError
from nanogen_core.randomness import KeyedRNG
from nanogen_core.specs import LatentSpec
from torch import Tensor

from nanogen_placeholder.config import PlaceholderConfig


class Placeholder:
    """Maps images [B, 3, H, W] in [-1, 1] to latents [B, 3 f^2, H / f, W / f], without loss. f is `config.factor`."""

    def __init__(self, config: PlaceholderConfig):
        self.config = config

    def latent(self, image_size: int) -> LatentSpec:
        """Return the shape of the latents. Raises NanoGenError unless the size is a positive multiple of the factor."""
        factor = self.config.factor
        if image_size < 1 or image_size % factor:
            change = f"Change image_size from {image_size} to a multiple of {factor}."
            raise NanoGenError(f"placeholder: {change}")
        return LatentSpec(3 * factor**2, image_size // factor, image_size // factor, factor)

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """Encode images. Latents should have about zero mean and unit variance."""
        return F.pixel_unshuffle(images, self.config.factor) / self.config.std

    def decode(self, latents: Tensor, rng: KeyedRNG | None = None) -> Tensor:
        """Decode latents. A stochastic decoder would draw its numbers from `rng`."""
        return F.pixel_shuffle(latents * self.config.std, self.config.factor)
