"""A tiny variational autoencoder: 8 x 8 pixels become one latent of 8 channels, so 64 px become [8, 8, 8]."""

from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nanogen_openmoji import shipped
from nanogen_openmoji.layers import Block, Conv, Down, PixelNorm, Up

CHANNELS, STRIDE = 8, 8


class Posterior(NamedTuple):
    """The normal distribution of the latents before normalisation, both [B, 8, h, w]."""

    mean: Tensor
    log_variance: Tensor


class TinyVAE(nn.Module):
    """Fully convolutional: any image whose sides are multiples of 8.

    `mean` and `std`, [8], are the statistics of the latents over drawings and scenes, measured after training: what
    `encode` gives has about zero mean and unit variance in each channel.
    """

    mean: Tensor
    std: Tensor

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
    def load(cls, folder: Path = shipped.FOLDER) -> "TinyVAE":
        """The shipped network, frozen, in evaluation mode."""
        return shipped.load(cls(), "vae", folder)

    def encode(self, images: Tensor) -> Tensor:
        """Images [B, 3, H, W] in [-1, 1] to normalised latents [B, 8, H/8, W/8], the posterior's mode."""
        return (self.posterior(images).mean - self.mean[:, None, None]) / self.std[:, None, None]

    def decode(self, latents: Tensor) -> Tensor:
        """Normalised latents [B, 8, h, w] to images [B, 3, 8h, 8w], clamped to [-1, 1]."""
        return self.reconstruct(latents * self.std[:, None, None] + self.mean[:, None, None]).clamp(-1, 1)

    def posterior(self, images: Tensor) -> Posterior:
        """For training: the latents' distribution, not normalised."""
        mean, log_variance = self.encoder(images).float().chunk(2, dim=1)
        return Posterior(mean, log_variance.clamp(-12, 4))

    def reconstruct(self, latents: Tensor) -> Tensor:
        """For training: latents, not normalised, to images [B, 3, 8h, 8w], not clamped."""
        return self.decoder(latents).float()


def loss(vae: TinyVAE, images: Tensor, noise: Tensor, *, kl_weight: float) -> Tensor:
    """Squared and (a little) absolute error plus `kl_weight` times the mean KL divergence per latent number; []."""
    mean, log_variance = vae.posterior(images)
    output = vae.reconstruct(mean + (0.5 * log_variance).exp() * noise)
    divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()
    return F.mse_loss(output, images) + 0.05 * F.l1_loss(output, images) + kl_weight * divergence


def psnr(output: Tensor, images: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of images in [-1, 1], one value in dB for the batch; []."""
    return 10 * torch.log10(4 / F.mse_loss(output, images))
