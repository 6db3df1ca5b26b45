"""Effect of file formats and resizing on scores: `python -m benchmarks.image_rules`.

Real drawings of the openmoji dataset serve as samples of a perfect model, at 64 px and, for resizing, at 256 px. Each
rule is applied to the same drawings. The scores are the Fréchet distance to held-out drawings in the features of the
OpenMoji classifier, and the classifier's accuracy. Prints the table of docs/evaluation.md. Takes less than a minute on
one core.
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
REFERENCE_SEED, SAMPLE_SEED = 1, 2  # independent drawings

Rule = Callable[[Tensor], Tensor]  # images [B, 3, H, W] in [-1, 1] -> [B, 3, 64, 64]


def jpeg(quality: int) -> Rule:
    """Return a rule that writes images as JPEG files and reads them again."""

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


#: Rules for drawings of 64 px, and for drawings of 256 px that are resized to 64 px.
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
    """Features and correct predictions of the classifier under one rule."""

    def __init__(self) -> None:
        self.features: list[Tensor] = []
        self.right: list[Tensor] = []

    def scores(self, reference: Moments) -> tuple[float, float]:
        """Return the Fréchet distance and the accuracy."""
        distance = frechet_distance(moments(torch.cat(self.features)), reference)
        return distance, float(torch.cat(self.right).double().mean())


def drawings(size: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches of `COUNT` drawings [B, 3, size, size] in [-1, 1] and labels [B], balanced over classes."""
    for rows in torch.arange(COUNT).split(BATCH):
        labels = balanced_labels(rows)
        yield class_images(labels, rows, size=size, seed=seed), labels


def table() -> list[tuple[str, float, float]]:
    """Return name, Fréchet distance and accuracy of each rule."""
    features, classifier = ClassifierFeatures(), Classifier.load()
    reference = moments(torch.cat([features(on_grid(batch)) for batch, _ in drawings(SIZE, REFERENCE_SEED)]))
    seen = {name: ForwardPass() for name in (*STORED, *RESIZED)}
    for rules, size in ((STORED, SIZE), (RESIZED, LARGE)):
        for batch, labels in drawings(size, SAMPLE_SEED):
            for name, rule in rules.items():
                treated = rule(batch)
                seen[name].features.append(features(treated))
                seen[name].right.append(classifier.classify(treated) == labels)
    return [(name, *found.scores(reference)) for name, found in seen.items()]


def main() -> None:
    """Print the table as Markdown."""
    print(f"| {COUNT} drawings, {SIZE} px | Fréchet distance | accuracy |")
    print("|---|---|---|")
    for name, distance, accuracy in table():
        print(f"| {name} | {distance:.3f} | {accuracy:.3f} |")


if __name__ == "__main__":
    main()
