"""The space in which drawings are compared: what the last layer of the class judge sees."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from nanogen_openmoji import shipped
from nanogen_openmoji.classifier import FEATURES, SIZE, Classifier


class ClassifierFeatures:
    """128 numbers of an image, for Frechet distances between drawings: float32, on the CPU."""

    width = FEATURES

    def __init__(self) -> None:
        self._classifier = Classifier.load()
        self.settings = {"weights": shipped.digest("classifier"), "size": SIZE, "resize": "bicubic antialias"}

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Images [B, 3, H, W] in [-1, 1] -> [B, 128]."""
        return self._classifier.features(at_judge_size(images.cpu().float()))


def at_judge_size(images: Tensor) -> Tensor:
    """Images [B, 3, H, W] at the size that the judges were trained on: [B, 3, 64, 64].

    The judges' own bilinear resizing blurs: of real drawings with 32 px it leaves 0.70 to be recognised, this 1.00.
    """
    if images.shape[-2:] == (SIZE, SIZE):
        return images
    return F.interpolate(images, size=(SIZE, SIZE), mode="bicubic", antialias=True).clamp(-1, 1)
