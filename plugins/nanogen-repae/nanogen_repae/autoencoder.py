"""Autoencoders whose weights are trained: the kind `autoencoder`."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from nanogen_core.errors import Incompatible
from nanogen_repae.config import KLConfig
from nanogen_vae.normalisation import affine_of
from nanogen_vae.source import Source

KIND = "autoencoder"
CLASS = "AutoencoderKL"


class Posterior(NamedTuple):
    """The Gaussian posterior of unnormalised latents z: mean and log-variance [B, C, h, w], float32."""

    mean: Tensor
    log_variance: Tensor

    def sample(self, noise: Tensor) -> Tensor:
        """Return `mean + std noise` for standard normal noise [B, C, h, w]."""
        return self.mean + (0.5 * self.log_variance).exp() * noise

    def divergence(self) -> Tensor:
        """Return the KL divergence [] from N(0, I), summed over C, h, w and averaged over the batch."""
        terms = self.mean.square() + self.log_variance.exp() - 1 - self.log_variance
        return 0.5 * terms.flatten(1).sum(dim=1).mean()


class Autoencoder(Protocol):
    """A component of the kind `autoencoder`: a module with the trained weights.

    `posterior` and `reconstruct` are differentiable.

    Attributes:
        channels: C, channels of z.
        factor: Image pixels along one side of a cell of z.
    """

    channels: int
    factor: int

    def posterior(self, images: Tensor) -> Posterior:
        """Encode images [B, 3, H, W] in [-1, 1]."""

    def reconstruct(self, z: Tensor) -> Tensor:
        """Decode z [B, C, h, w] to images [B, 3, H, W], about [-1, 1], not clamped."""

    def statistics(self) -> tuple[Tensor, Tensor]:
        """Return mean [C] and standard deviation [C] of z on images. They initialise the running statistics."""


class KLAutoencoder(nn.Module):
    """An AutoencoderKL of diffusers in float32.

    Args:
        config: Location of the model.

    Raises:
        DataError: The weights are missing.
        Incompatible: The model is not an AutoencoderKL.
    """

    def __init__(self, config: KLConfig):
        super().__init__()
        source = Source(config.path, config.subfolder, options="tokenizer.vae")
        file = source.config()
        if file.get("_class_name") != CLASS:
            raise Incompatible(
                f"tokenizer.vae: {config.path!r} has the class {file.get('_class_name')!r}, but must be an {CLASS}. Set"
                " `tokenizer.vae.path` to such a model."
            )
        self.model: Any = source.load(CLASS, torch.float32)
        self.channels: int = self.model.config.latent_channels
        self.factor: int = 2 ** (len(self.model.config.block_out_channels) - 1)

    def posterior(self, images: Tensor) -> Posterior:
        gaussian = self.model.encode(images).latent_dist
        return Posterior(gaussian.mean.float(), gaussian.logvar.float())

    def reconstruct(self, z: Tensor) -> Tensor:
        images: Tensor = self.model.decode(z).sample
        return images.float()

    def statistics(self) -> tuple[Tensor, Tensor]:
        shift, scale = affine_of(self.model.config, None)
        return shift.flatten().expand(self.channels).clone(), 1 / scale.flatten().expand(self.channels)
