"""Trains the classifier, after the VAE: `python -m nanogen_openmoji.make.classifier [--steps N] [--bf16]`."""

from __future__ import annotations

import argparse

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from nanogen_openmoji import weights_files
from nanogen_openmoji.class_images import MILD, WIDE, balanced_labels, class_images
from nanogen_openmoji.classifier import REJECT, Classifier
from nanogen_openmoji.make import images as training_images
from nanogen_openmoji.make.corruptions import CORRUPTIONS, corrupt
from nanogen_openmoji.make.degrade import degrade, recolour, reconstructed
from nanogen_openmoji.make.training import Recipe, fit
from nanogen_openmoji.vae import TinyVAE

EMOJIS, CORRUPTED = 64, 32  # images per step


def main() -> None:
    """Train, write `weights/classifier.safetensors` and print its accuracies."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--bf16", action="store_true")
    options = parser.parse_args()
    torch.manual_seed(0)
    network, vae, generator = Classifier(), TinyVAE.load(), Generator().manual_seed(0)
    recipe = Recipe(steps=options.steps, bf16=options.bf16)
    seconds = fit(network, lambda step: _loss(network, vae, step, generator), recipe)
    weights_files.save(network, "classifier")
    print({"seconds": round(seconds)} | figures(Classifier.load(), vae))


def _loss(network: Classifier, vae: TinyVAE, step: int, generator: Generator) -> Tensor:
    images, labels = batch(vae, step, generator)
    return F.cross_entropy(network(images).float(), labels, label_smoothing=0.05)


def batch(vae: TinyVAE, step: int, generator: Generator) -> tuple[Tensor, Tensor]:
    """Return the images [96, 3, 64, 64] and labels [96] of a step: degraded emojis, then corrupted ones of the reject
    class."""
    indices = training_images.numbers(step, EMOJIS + CORRUPTED)
    indices = indices[torch.randperm(len(indices), generator=generator)]
    labels = balanced_labels(indices)
    half = len(indices) // 2
    images = torch.cat([
        class_images(labels[:half], indices[:half], seed=training_images.SEED, augment=MILD),
        class_images(labels[half:], indices[half:], seed=training_images.SEED, augment=WIDE),
    ])  # fmt: skip
    order = torch.randperm(len(indices), generator=generator)
    images, labels = images[order], labels[order]
    valid = recolour(degrade(images[:EMOJIS], vae, generator), generator)
    corrupted = recolour(corrupt(images[EMOJIS:], generator), generator)
    return torch.cat([valid, corrupted]), torch.cat([labels[:EMOJIS], torch.full((CORRUPTED,), REJECT)])


@torch.no_grad()
def figures(network: Classifier, vae: TinyVAE) -> dict[str, float]:
    """Return the accuracies on 2,048 new images: unchanged, grey, reconstructed by the VAE, and corrupted."""
    generator = Generator().manual_seed(training_images.FRESH)
    indices = torch.arange(2048)
    labels = balanced_labels(indices)
    images = class_images(labels, indices, seed=training_images.FRESH)
    permuted = images[torch.randperm(len(images), generator=generator)]
    found = {corruption.__name__: network.classify(corruption(permuted, generator)) for corruption in CORRUPTIONS}
    return {
        "fresh": _share(network.classify(images) == labels),
        "grey": _share(network.classify(images.mean(dim=1, keepdim=True).expand_as(images)) == labels),
        "reconstructed": _share(network.classify(reconstructed(images, vae)) == labels),
        "corrupted": _share(torch.cat(list(found.values())) == REJECT),
    } | {f"corrupted_{name}": _share(predicted == REJECT) for name, predicted in found.items()}


def _share(right: Tensor) -> float:
    return round(right.float().mean().item(), 4)


if __name__ == "__main__":
    main()
