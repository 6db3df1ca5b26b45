"""Small faults that leave a picture what it is: what a judge must look past."""

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from nanogen_openmoji.vae import TinyVAE

GREY = torch.tensor((0.299, 0.587, 0.114))  # ITU-R BT.601


def faulty(images: Tensor, vae: TinyVAE, generator: Generator) -> Tensor:
    """A quarter each of [B, 3, S, S]: as it is, blurred and noisy, through the VAE, the same with noisy latents."""
    clean, soft, coded, shaken = images.chunk(4)
    return torch.cat([clean, blurred(soft, generator), recoded(coded, vae), recoded(shaken, vae, generator)])


def blurred(images: Tensor, generator: Generator) -> Tensor:
    """A 3 x 3 blur of random strength and noise of deviation up to 0.15."""
    strength = torch.rand(2, len(images), 1, 1, 1, generator=generator)
    soft = F.avg_pool2d(F.pad(images, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    noise = 0.15 * strength[1] * torch.randn(images.shape, generator=generator)
    return torch.lerp(images, soft, strength[0]) + noise


@torch.no_grad()
def recoded(images: Tensor, vae: TinyVAE, generator: Generator | None = None) -> Tensor:
    """Through the VAE and back; with a generator, after noise of deviation 0.3 on the latents."""
    latents = vae.encode(images)
    if generator is not None:
        latents = latents + 0.3 * torch.randn(latents.shape, generator=generator)
    return vae.decode(latents)


def recoloured(images: Tensor, generator: Generator) -> Tensor:
    """Other colours: a random matrix near the identity, and a quarter of the images grey."""
    matrix = torch.eye(3) + 0.3 * torch.randn(len(images), 3, 3, generator=generator)  # [B, 3, 3]
    matrix = matrix / matrix.sum(dim=2, keepdim=True).clamp_min(0.5)  # white stays about white
    grey = torch.rand(len(images), 1, 1, generator=generator) < 0.25
    matrix = torch.where(grey, GREY.expand(3, 3), matrix)
    light = (images + 1) / 2
    return torch.einsum("bij,bjhw->bihw", matrix, light).clamp(0, 1) * 2 - 1
