"""Trains the tiny VAE: `python -m nanogen_openmoji.make.vae [--steps N] [--bf16]` (about eight minutes on two
cores)."""

from __future__ import annotations

import argparse

import torch
from torch import Tensor

from nanogen_openmoji import weights_files
from nanogen_openmoji.class_images import balanced_labels, class_images
from nanogen_openmoji.make import images as training_images
from nanogen_openmoji.make.training import Recipe, fit
from nanogen_openmoji.render import render
from nanogen_openmoji.scenes import scenes
from nanogen_openmoji.vae import TinyVAE, loss, psnr

BATCH, KL_WEIGHT = 64, 2e-4


def main() -> None:
    """Train, write `weights/vae.safetensors` and print its PSNR."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=1600)
    parser.add_argument("--bf16", action="store_true")
    options = parser.parse_args()
    torch.manual_seed(0)
    vae = TinyVAE()
    generator = torch.Generator().manual_seed(0)
    recipe = Recipe(steps=options.steps, bf16=options.bf16)
    seconds = fit(vae, lambda step: _loss(vae, step, generator), recipe)
    measure_statistics(vae)
    weights_files.save(vae, "vae")
    print({"seconds": round(seconds)} | figures(TinyVAE.load()))


def _loss(vae: TinyVAE, step: int, generator: torch.Generator) -> Tensor:
    images = batch(step, BATCH)  # [B, 3, 64, 64]
    noise = torch.randn(len(images), 8, 8, 8, generator=generator)
    return loss(vae, images, noise, kl_weight=KL_WEIGHT)


def batch(step: int, count: int) -> Tensor:
    """Return the images [count, 3, 64, 64] of a step: half single emojis, half scenes."""
    single = training_images.single_emojis(step, count // 2)
    composed = render(training_images.mixed_scenes(step, count - count // 2))
    return torch.cat([single, composed])


@torch.no_grad()
def measure_statistics(vae: TinyVAE) -> None:
    """Set `mean` and `std` of the VAE to the statistics of each latent channel over 4,096 images of the two tasks."""
    latents = vae.posterior(task_images(training_images.SEED, 2048)).mean  # [4096, 8, 8, 8]
    vae.mean.copy_(latents.mean(dim=(0, 2, 3)))
    vae.std.copy_(latents.std(dim=(0, 2, 3)))


@torch.no_grad()
def figures(vae: TinyVAE) -> dict[str, float]:
    """Return the PSNR in dB on 1,024 new emojis and as many scenes, and the mean and standard deviation of latents."""
    images = task_images(training_images.FRESH, 1024)
    latents = vae.encode(images)
    output = vae.decode(latents)
    return {
        "psnr_drawings": psnr(output[:1024], images[:1024]).item(),
        "psnr_scenes": psnr(output[1024:], images[1024:]).item(),
        "latent_mean": latents.mean().item(),
        "latent_std": latents.std().item(),
    }


def task_images(seed: int, count: int) -> Tensor:
    """Return images [2 * count, 3, 64, 64] of both tasks: `count` emojis, then `count` scenes."""
    indices = torch.arange(count)
    composed = render(scenes(range(count), seed=seed, world=training_images.TASK_WORLD))
    return torch.cat([class_images(balanced_labels(indices), indices, seed=seed), composed])


if __name__ == "__main__":
    main()
