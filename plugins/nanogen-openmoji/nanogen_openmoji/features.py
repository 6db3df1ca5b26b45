"""The features `openmoji-classifier`: the last hidden layer of the classifier."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from nanogen_openmoji import weights_files
from nanogen_openmoji.classifier import FEATURES, SIZE, Classifier


class ClassifierFeatures:
    """128 features per image, for Fréchet distances between emoji images. float32 on the CPU."""

    width = FEATURES

    def __init__(self) -> None:
        self._classifier = Classifier.load()
        self.settings = {"weights": weights_files.digest("classifier"), "size": SIZE, "resize": "bicubic antialias"}

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Map images [B, 3, H, W] in [-1, 1] to features [B, 128]."""
        return self._classifier.features(resize_to_training_size(images.cpu().float()))


def resize_to_training_size(images: Tensor) -> Tensor:
    """Resize images [B, 3, H, W] bicubically to the classifier's training size: [B, 3, 64, 64].

    Unlike `classifier.resized`, this also reduces images bicubically, and clamps them to [-1, 1].
    """
    if images.shape[-2:] == (SIZE, SIZE):
        return images
    return F.interpolate(images, size=(SIZE, SIZE), mode="bicubic", antialias=True).clamp(-1, 1)
