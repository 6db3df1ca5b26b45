"""The emoji classifier behind `openmoji-accuracy`, with a reject class for images that show no emoji.

It is trained with random colours, grey images and corrupted images (the reject class), so that it relies on shape.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nanogen_openmoji import weights_files
from nanogen_openmoji.layers import Block, Down, PixelNorm

CLASSES = 64
REJECT = 64  # the label of images that show no emoji
FEATURES = 128
SIZE = 64  # side of the network's input in pixels


class Classifier(nn.Module):
    """Classifies images of any size, which are resized to 64 px."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            Down(3, 64, by=4, kernel=3), Block(64), Block(64), Down(64, 96), Block(96),
            PixelNorm(96), Down(96, FEATURES),
        )  # fmt: skip
        self.head = nn.Linear(FEATURES, CLASSES + 1)

    @classmethod
    def load(cls, folder: Path = weights_files.FOLDER) -> Classifier:
        """Load the shipped weights. Returns the network frozen and in evaluation mode."""
        return weights_files.load(cls(), "classifier", folder)

    def forward(self, images: Tensor) -> Tensor:
        """Map images [B, 3, S, S] in [-1, 1] to logits [B, 65]. The last one is the reject class."""
        logits: Tensor = self.head(self.features(images))
        return logits

    def features(self, images: Tensor) -> Tensor:
        """Map images [B, 3, S, S] in [-1, 1] to the inputs of the last layer [B, 128]."""
        return F.silu(self.body(resized(images))).mean(dim=(2, 3))

    @torch.no_grad()
    def classify(self, images: Tensor) -> Tensor:
        """Classify images [B, 3, S, S] in [-1, 1]: labels [B] in [0, 64], where 64 is the reject class."""
        logits: Tensor = self(images)
        return logits.argmax(dim=1)


def resized(images: Tensor, size: int = SIZE) -> Tensor:
    """Resize images [B, 3, S, S] to [B, 3, size, size], bicubically to enlarge and bilinearly to reduce."""
    if images.shape[-1] == size:
        return images
    mode = "bicubic" if images.shape[-1] < size else "bilinear"  # bilinear enlarging loses thin lines
    return F.interpolate(images, size=(size, size), mode=mode, antialias=True)
