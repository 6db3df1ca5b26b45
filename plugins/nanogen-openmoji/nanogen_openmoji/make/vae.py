"""Train the tiny VAE: `python -m nanogen_openmoji.make.vae [--steps N] [--bf16]` (some eight minutes on two cores)."""

import argparse

import torch
from torch import Tensor

from nanogen_openmoji import shipped
from nanogen_openmoji.class_images import balanced_labels, class_images
from nanogen_openmoji.make import pictures
from nanogen_openmoji.make.training import Recipe, fit
from nanogen_openmoji.render import render
from nanogen_openmoji.scenes import scenes
from nanogen_openmoji.vae import TinyVAE, loss, psnr

BATCH, KL_WEIGHT = 64, 2e-4


def main() -> None:
    """Train, measure, write `weights/vae.safetensors`."""
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
    shipped.save(vae, "vae")
    print({"seconds": round(seconds)} | figures(TinyVAE.load()))


def _loss(vae: TinyVAE, step: int, generator: torch.Generator) -> Tensor:
    images = batch(step, BATCH)  # [B, 3, 64, 64]
    noise = torch.randn(len(images), 8, 8, 8, generator=generator)
    return loss(vae, images, noise, kl_weight=KL_WEIGHT)


def batch(step: int, count: int) -> Tensor:
    """[count, 3, 64, 64]: half drawings, half scenes."""
    drawings = pictures.drawings(step, count // 2)
    composed = render(pictures.mixed_scenes(step, count - count // 2))
    return torch.cat([drawings, composed])


@torch.no_grad()
def measure_statistics(vae: TinyVAE) -> None:
    """Set the mean and deviation of each latent channel from 4,096 images of the two tasks."""
    latents = vae.posterior(task_images(pictures.SEED, 2048)).mean  # [4096, 8, 8, 8]
    vae.mean.copy_(latents.mean(dim=(0, 2, 3)))
    vae.std.copy_(latents.std(dim=(0, 2, 3)))


@torch.no_grad()
def figures(vae: TinyVAE) -> dict[str, float]:
    """Reconstruction in dB on fresh drawings and scenes, 1,024 each, and the latents' mean and deviation."""
    images = task_images(pictures.FRESH, 1024)
    latents = vae.encode(images)
    output = vae.decode(latents)
    return {
        "psnr_drawings": psnr(output[:1024], images[:1024]).item(),
        "psnr_scenes": psnr(output[1024:], images[1024:]).item(),
        "latent_mean": latents.mean().item(),
        "latent_std": latents.std().item(),
    }


def task_images(seed: int, count: int) -> Tensor:
    """[2 * count, 3, 64, 64]: as many drawings as scenes, as the two tasks show them."""
    indices = torch.arange(count)
    composed = render(scenes(range(count), seed=seed, world=pictures.TASK_WORLD))
    return torch.cat([class_images(balanced_labels(indices), indices, seed=seed), composed])


if __name__ == "__main__":
    main()
