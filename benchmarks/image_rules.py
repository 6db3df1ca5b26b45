"""What happens to a score where images are stored or resized another way: `python -m benchmarks.image_rules`.

Real drawings of the openmoji dataset stand for the samples of a perfect model, drawn at 64 px and, for the resizing,
at 256 px. Each rule treats the same drawings; the figures are the Fréchet distance to held-out drawings in the
features of the class judge, and the judge's accuracy. Writes the table of docs/evaluation.md to the standard output;
takes under a minute on one core.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from nanogen_eval.pixels import from_uint8, on_grid
from nanogen_fidelity.distances.frechet import Moments, frechet_distance, moments
from nanogen_files.images import resized, to_pil, to_uint8
from nanogen_openmoji.class_images import balanced_labels, class_images
from nanogen_openmoji.classifier import Classifier
from nanogen_openmoji.features import ClassifierFeatures

COUNT, SIZE, LARGE = 1024, 64, 256
BATCH = 256
REFERENCE_SEED, SAMPLE_SEED = 1, 2  # drawings that have nothing in common

Rule = Callable[[Tensor], Tensor]  # images [B, 3, H, W] in [-1, 1] -> [B, 3, 64, 64]


def jpeg(quality: int) -> Rule:
    """Written as JPEG files of this quality, and read again."""

    def rule(images: Tensor) -> Tensor:
        return torch.stack([_read(_written(picture, quality)) for picture in to_pil(images)])

    return rule


def _written(picture: Image.Image, quality: int) -> io.BytesIO:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return file


def _read(file: io.BytesIO) -> Tensor:
    pixels = torch.from_numpy(np.array(Image.open(file).convert("RGB")))  # [H, W, 3]
    return from_uint8(pixels.permute(2, 0, 1))


#: Rules for drawings of 64 px, and for those of 256 px that are made smaller.
STORED: Mapping[str, Rule] = {
    "PNG, rounded": on_grid,
    "PNG, truncated": lambda images: from_uint8(to_uint8(images, "truncate")),
    "JPEG, quality 95": jpeg(95),
    "JPEG, quality 75": jpeg(75),
}
RESIZED: Mapping[str, Rule] = {
    f"{LARGE} to {SIZE} px, {kernel}": lambda images, kernel=kernel: on_grid(resized(images, SIZE, kernel))  # type: ignore[misc]
    for kernel in ("bicubic", "bilinear", "bicubic-naive", "bilinear-naive", "nearest")
}


class ForwardPass:
    """What the judge saw of the drawings under one rule."""

    def __init__(self) -> None:
        self.features: list[Tensor] = []
        self.right: list[Tensor] = []

    def scores(self, reference: Moments) -> tuple[float, float]:
        """The Fréchet distance and the accuracy."""
        distance = frechet_distance(moments(torch.cat(self.features)), reference)
        return distance, float(torch.cat(self.right).double().mean())


def drawings(size: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """`COUNT` drawings [B, 3, size, size] in [-1, 1] and their labels [B], balanced over classes, batch by batch."""
    for rows in torch.arange(COUNT).split(BATCH):
        labels = balanced_labels(rows)
        yield class_images(labels, rows, size=size, seed=seed), labels


def table() -> list[tuple[str, float, float]]:
    """A row for each rule: its name, the Fréchet distance, the accuracy."""
    features, judge = ClassifierFeatures(), Classifier.load()
    reference = moments(torch.cat([features(on_grid(batch)) for batch, _ in drawings(SIZE, REFERENCE_SEED)]))
    seen = {name: ForwardPass() for name in (*STORED, *RESIZED)}
    for rules, size in ((STORED, SIZE), (RESIZED, LARGE)):
        for batch, labels in drawings(size, SAMPLE_SEED):
            for name, rule in rules.items():
                treated = rule(batch)
                seen[name].features.append(features(treated))
                seen[name].right.append(judge.classify(treated) == labels)
    return [(name, *found.scores(reference)) for name, found in seen.items()]


def main() -> None:
    """Prints the table as Markdown."""
    print(f"| {COUNT} drawings, {SIZE} px | Fréchet distance | accuracy |")
    print("|---|---|---|")
    for name, distance, accuracy in table():
        print(f"| {name} | {distance:.3f} | {accuracy:.3f} |")


if __name__ == "__main__":
    main()
