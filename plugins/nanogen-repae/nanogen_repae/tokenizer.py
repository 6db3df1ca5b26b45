"""The tokenizer `batch-norm-vae`: a VAE whose latents are normalised by running statistics."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from nanogen_core.errors import Incompatible
from nanogen_core.named_components import build_named
from nanogen_core.randomness import KeyedRNG
from nanogen_core.specs import LatentSpec
from nanogen_files import storage
from nanogen_files.weights import load_exactly
from nanogen_repae.autoencoder import KIND, Autoencoder, Posterior
from nanogen_repae.config import BatchNormVAEConfig
from nanogen_repae.norm import LatentNorm

FILE = "tokenizer.safetensors"


class BatchNormVAE(nn.Module):
    """A VAE, and a batch normalisation of its latents. The latent is the normalised mean of the posterior.

    The weights are frozen, unless the stage `repa-e` trains them. Trained weights are saved with the pipeline.

    Args:
        config: Options of the tokenizer.

    Raises:
        DataError: Weights are missing, or the file of `weights` does not match.
    """

    def __init__(self, config: BatchNormVAEConfig):
        super().__init__()
        self.vae: Autoencoder = build_named(KIND, config.vae, path="tokenizer.vae")
        self.norm = LatentNorm(*self.vae.statistics(), eps=config.eps, momentum=config.momentum)
        if config.weights is not None:
            path = Path(config.weights).expanduser()
            file = path / FILE if path.is_dir() else path
            load_exactly(self, storage.read_tensors(file), expected=self.state_dict(), source=file)
        self.eval().requires_grad_(False)

    def latent(self, image_size: int) -> LatentSpec:
        """Return the shape of the latent. Raises Incompatible if `image_size` is not a multiple of the factor."""
        factor = self.vae.factor
        if image_size % factor or image_size < factor:
            near = max(factor, image_size // factor * factor)
            raise Incompatible(
                f"The image size must be a multiple of {factor} for this VAE, got {image_size}. Set `image_size` to"
                f" {near} or {near + factor}."
            )
        side = image_size // factor
        return LatentSpec(channels=self.vae.channels, height=side, width=side, factor=factor)

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """Encode images [B, 3, H, W] in [-1, 1] to latents [B, C, h, w], without gradient."""
        latents: Tensor = self.norm(self.posterior(images).mean)
        return latents

    def decode(self, latents: Tensor, rng: KeyedRNG | None = None) -> Tensor:
        """Decode latents [B, C, h, w] to images [B, 3, H, W], about [-1, 1], not clamped. `rng` is unused."""
        return self.reconstruct(self.norm.inverse(latents.float()))

    def posterior(self, images: Tensor) -> Posterior:
        """Return the posterior of the unnormalised latents z of images [B, 3, H, W] in [-1, 1], with gradient."""
        return self.vae.posterior(images)

    def reconstruct(self, z: Tensor) -> Tensor:
        """Decode unnormalised latents z [B, C, h, w] to images [B, 3, H, W], with gradient."""
        return self.vae.reconstruct(z)
