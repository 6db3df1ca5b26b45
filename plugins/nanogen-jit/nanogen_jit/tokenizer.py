"""The tokenizer `scaled-pixel`: images divided by the scale of the noise."""

from __future__ import annotations

from torch import Tensor

from nanogen_core.randomness import KeyedRNG
from nanogen_core.specs import LatentSpec
from nanogen_jit.config import ScaledPixelConfig

BASE = 256  # image size with a noise scale of 1


class ScaledPixel:
    """Divides images x by the noise scale s. Unit noise e then has the standard deviation s relative to images x.

    JiT multiplies the noise by s instead: `(1 - t) x + t s e`. This is s times the state here, `(1 - t) (x / s) + t e`.
    The networks differ only by constant factors in the first and the last layer. The loss here is that of JiT divided
    by s^2.

    Args:
        config: Options.
        image_size: Side of the images in pixels.
    """

    def __init__(self, config: ScaledPixelConfig, *, image_size: int):
        published = max(1.0, image_size / BASE)
        self.noise_scale = published if config.noise_scale is None else config.noise_scale

    def latent(self, image_size: int) -> LatentSpec:
        """Return the latent's shape, 3 x S x S for images of size S."""
        return LatentSpec(channels=3, height=image_size, width=image_size, factor=1)

    def encode(self, images: Tensor) -> Tensor:
        """Map images [B, 3, H, W] in [-1, 1] to latents [B, 3, H, W], detached."""
        return images.detach() / self.noise_scale

    def decode(self, latents: Tensor, rng: KeyedRNG | None = None) -> Tensor:
        """Map latents [B, 3, H, W] to images [B, 3, H, W] without clamping to [-1, 1]."""
        return latents * self.noise_scale
