"""The tokenizer `openmoji-vae`."""

from __future__ import annotations

from torch import Tensor, nn

from nanogen_core.errors import NanoGenError
from nanogen_core.randomness import KeyedRNG
from nanogen_core.specs import LatentSpec
from nanogen_openmoji.vae import CHANNELS, STRIDE, TinyVAE


class OpenMojiVAE(nn.Module):
    """A tiny VAE: latents of 8 channels at 1/8 of the image's side, with mean about 0 and variance about 1."""

    licence = "CC BY-SA 4.0"  # for the card of a model

    def __init__(self) -> None:
        super().__init__()
        self.vae = TinyVAE.load()

    def latent(self, image_size: int) -> LatentSpec:
        """Return the shape of an image's latent. Raises NanoGenError for a size that is not a multiple of 8."""
        if image_size % STRIDE or image_size < STRIDE:
            near = max(STRIDE, image_size // STRIDE * STRIDE)
            raise NanoGenError(
                f"The image size must be a multiple of {STRIDE} for the tokenizer 'openmoji-vae', got {image_size}. "
                f"Set `image_size` to {near} or {near + STRIDE}."
            )
        side = image_size // STRIDE
        return LatentSpec(channels=CHANNELS, height=side, width=side, factor=STRIDE)

    def encode(self, images: Tensor) -> Tensor:
        """Encode images [B, 3, H, W] in [-1, 1] to latents [B, 8, H/8, W/8]."""
        return self.vae.encode(images)

    def decode(self, latents: Tensor, rng: KeyedRNG | None = None) -> Tensor:
        """Decode latents [B, 8, h, w] to images [B, 3, 8h, 8w] in [-1, 1]. `rng` is not used."""
        return self.vae.decode(latents)
