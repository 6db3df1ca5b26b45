"""Degradations that the classifier and the scene reader must be robust to."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from nanogen_openmoji.vae import TinyVAE

GREY = torch.tensor((0.299, 0.587, 0.114))  # ITU-R BT.601


def degrade(images: Tensor, vae: TinyVAE, generator: Generator) -> Tensor:
    """Degrade images [B, 3, S, S], a quarter each: unchanged, blurred and noisy, reconstructed by the VAE, and
    reconstructed from noisy latents."""
    first, second, third, fourth = images.chunk(4)
    return torch.cat(
        [first, blurred(second, generator), reconstructed(third, vae), reconstructed(fourth, vae, generator)]
    )


def blurred(images: Tensor, generator: Generator) -> Tensor:
    """Blur images by a 3 x 3 box of random strength, and add noise of standard deviation up to 0.15."""
    strength = torch.rand(2, len(images), 1, 1, 1, generator=generator)
    soft = F.avg_pool2d(F.pad(images, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    noise = 0.15 * strength[1] * torch.randn(images.shape, generator=generator)
    return torch.lerp(images, soft, strength[0]) + noise


@torch.no_grad()
def reconstructed(images: Tensor, vae: TinyVAE, generator: Generator | None = None) -> Tensor:
    """Encode and decode images by the VAE. With a generator, add noise of standard deviation 0.3 to the latents."""
    latents = vae.encode(images)
    if generator is not None:
        latents = latents + 0.3 * torch.randn(latents.shape, generator=generator)
    return vae.decode(latents)


def recolour(images: Tensor, generator: Generator) -> Tensor:
    """Recolour each image by a random matrix near the identity, or make it grey with probability 1/4."""
    matrix = torch.eye(3) + 0.3 * torch.randn(len(images), 3, 3, generator=generator)  # [B, 3, 3]
    matrix = matrix / matrix.sum(dim=2, keepdim=True).clamp_min(0.5)  # white stays about white
    grey = torch.rand(len(images), 1, 1, generator=generator) < 0.25
    matrix = torch.where(grey, GREY.expand(3, 3), matrix)
    light = (images + 1) / 2
    return torch.einsum("bij,bjhw->bihw", matrix, light).clamp(0, 1) * 2 - 1
