"""Train the judge of the class task, the VAE first: `python -m nanogen_openmoji.make.classifier`."""

import argparse

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from nanogen_openmoji import shipped
from nanogen_openmoji.class_images import MILD, WIDE, balanced_labels, class_images
from nanogen_openmoji.classifier import GARBAGE, Classifier
from nanogen_openmoji.make import pictures
from nanogen_openmoji.make.degrade import faulty, recoded, recoloured
from nanogen_openmoji.make.garbage import WAYS, garbage
from nanogen_openmoji.make.training import Recipe, fit
from nanogen_openmoji.vae import TinyVAE

DRAWINGS, SPOILT = 64, 32  # of each kind in a step


def main() -> None:
    """Train, measure, write `weights/classifier.safetensors`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--bf16", action="store_true")
    options = parser.parse_args()
    torch.manual_seed(0)
    network, vae, generator = Classifier(), TinyVAE.load(), Generator().manual_seed(0)
    recipe = Recipe(steps=options.steps, bf16=options.bf16)
    seconds = fit(network, lambda step: _loss(network, vae, step, generator), recipe)
    shipped.save(network, "classifier")
    print({"seconds": round(seconds)} | figures(Classifier.load(), vae))


def _loss(network: Classifier, vae: TinyVAE, step: int, generator: Generator) -> Tensor:
    images, labels = batch(vae, step, generator)
    return F.cross_entropy(network(images).float(), labels, label_smoothing=0.05)


def batch(vae: TinyVAE, step: int, generator: Generator) -> tuple[Tensor, Tensor]:
    """Images [96, 3, 64, 64] and labels [96]: drawings in all conditions, then garbage made of others."""
    indices = pictures.numbers(step, DRAWINGS + SPOILT)
    indices = indices[torch.randperm(len(indices), generator=generator)]
    labels = balanced_labels(indices)
    half = len(indices) // 2
    images = torch.cat([
        class_images(labels[:half], indices[:half], seed=pictures.SEED, augment=MILD),
        class_images(labels[half:], indices[half:], seed=pictures.SEED, augment=WIDE),
    ])  # fmt: skip
    order = torch.randperm(len(indices), generator=generator)
    images, labels = images[order], labels[order]
    good = recoloured(faulty(images[:DRAWINGS], vae, generator), generator)
    bad = recoloured(garbage(images[DRAWINGS:], generator), generator)
    return torch.cat([good, bad]), torch.cat([labels[:DRAWINGS], torch.full((SPOILT,), GARBAGE)])


@torch.no_grad()
def figures(network: Classifier, vae: TinyVAE) -> dict[str, float]:
    """Share of 2,048 fresh drawings named right, as they are, grey, through the VAE; share of garbage refused."""
    generator = Generator().manual_seed(pictures.FRESH)
    indices = torch.arange(2048)
    labels = balanced_labels(indices)
    images = class_images(labels, indices, seed=pictures.FRESH)
    shuffled = images[torch.randperm(len(images), generator=generator)]
    spoilt = {way.__name__: network.classify(way(shuffled, generator)) for way in WAYS}
    return {
        "fresh": _share(network.classify(images) == labels),
        "grey": _share(network.classify(images.mean(dim=1, keepdim=True).expand_as(images)) == labels),
        "reconstructed": _share(network.classify(recoded(images, vae)) == labels),
        "garbage": _share(torch.cat(list(spoilt.values())) == GARBAGE),
    } | {f"garbage_{way}": _share(named == GARBAGE) for way, named in spoilt.items()}


def _share(right: Tensor) -> float:
    return round(right.float().mean().item(), 4)


if __name__ == "__main__":
    main()
