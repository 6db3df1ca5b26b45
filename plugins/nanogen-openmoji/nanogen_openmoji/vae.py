"""A tiny variational autoencoder with stride 8 and 8 channels: images of 64 px have latents [8, 8, 8]."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nanogen_openmoji import weights_files
from nanogen_openmoji.layers import Block, Conv, Down, PixelNorm, Up

CHANNELS, STRIDE = 8, 8


class Posterior(NamedTuple):
    """The Gaussian posterior of unnormalised latents: its mean and log-variance, both [B, 8, h, w]."""

    mean: Tensor
    log_variance: Tensor


class TinyVAE(nn.Module):
    """A fully convolutional VAE for images with sides that are multiples of 8.

    `encode` normalises latents by `mean` and `std`, which are measured after training. `decode` takes normalised ones.
    """

    mean: Tensor  # [8]
    std: Tensor  # [8]

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            Down(3, 64, by=4, kernel=3), Block(64), Down(64, 96), Block(96), PixelNorm(96), Conv(96, 2 * CHANNELS, 1)
        )
        self.decoder = nn.Sequential(
            Conv(CHANNELS, 96), Block(96), Up(96, 64), Block(64), Up(64, 32), Block(32),
            PixelNorm(32), Up(32, 3, kernel=3),
        )  # fmt: skip
        self.register_buffer("mean", torch.zeros(CHANNELS))
        self.register_buffer("std", torch.ones(CHANNELS))

    @classmethod
    def load(cls, folder: Path = weights_files.FOLDER) -> TinyVAE:
        """Load the shipped weights. Returns the network frozen and in evaluation mode."""
        return weights_files.load(cls(), "vae", folder)

    def encode(self, images: Tensor) -> Tensor:
        """Encode images [B, 3, H, W] in [-1, 1] to normalised latents [B, 8, H/8, W/8], the mode of the posterior."""
        return (self.posterior(images).mean - self.mean[:, None, None]) / self.std[:, None, None]

    def decode(self, latents: Tensor) -> Tensor:
        """Decode normalised latents [B, 8, h, w] to images [B, 3, 8h, 8w], clamped to [-1, 1]."""
        return self.reconstruct(latents * self.std[:, None, None] + self.mean[:, None, None]).clamp(-1, 1)

    def posterior(self, images: Tensor) -> Posterior:
        """Return the posterior of unnormalised latents of images [B, 3, H, W], for training."""
        mean, log_variance = self.encoder(images).float().chunk(2, dim=1)
        return Posterior(mean, log_variance.clamp(-12, 4))

    def reconstruct(self, latents: Tensor) -> Tensor:
        """Decode unnormalised latents [B, 8, h, w] to unclamped images [B, 3, 8h, 8w], for training."""
        images: Tensor = self.decoder(latents)
        return images.float()


def loss(vae: TinyVAE, images: Tensor, noise: Tensor, *, kl_weight: float) -> Tensor:
    """Return the training loss []: MSE + 0.05 L1 + kl_weight * mean KL divergence per latent element.

    Args:
        vae: The network.
        images: [B, 3, H, W] in [-1, 1].
        noise: Gaussian noise of the reparameterisation [B, 8, h, w].
        kl_weight: The weight of the KL divergence.
    """
    mean, log_variance = vae.posterior(images)
    output = vae.reconstruct(mean + (0.5 * log_variance).exp() * noise)
    divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()
    return F.mse_loss(output, images) + 0.05 * F.l1_loss(output, images) + kl_weight * divergence


def psnr(output: Tensor, images: Tensor) -> Tensor:
    """Return the peak signal-to-noise ratio [] in dB of a whole batch of images in [-1, 1]."""
    return 10 * torch.log10(4 / F.mse_loss(output, images))
