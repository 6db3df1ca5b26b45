"""The judge of the class task: which of the 64 drawings an image shows, or 64 for none of them.

Trained with other colours, grey images and garbage, so that it goes by shape: a plain classifier names colour blobs.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nanogen_openmoji import shipped
from nanogen_openmoji.layers import Block, Down, PixelNorm

CLASSES = 64
GARBAGE = 64  # the label for "no drawing"
FEATURES = 128
SIZE = 64  # the resolution that the network sees


class Classifier(nn.Module):
    """Images of any size, resized to 64 px."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            Down(3, 64, by=4, kernel=3), Block(64), Block(64), Down(64, 96), Block(96),
            PixelNorm(96), Down(96, FEATURES),
        )  # fmt: skip
        self.head = nn.Linear(FEATURES, CLASSES + 1)

    @classmethod
    def load(cls, folder: Path = shipped.FOLDER) -> "Classifier":
        """The shipped network, frozen, in evaluation mode."""
        return shipped.load(cls(), "classifier", folder)

    def forward(self, images: Tensor) -> Tensor:
        """Images [B, 3, S, S] in [-1, 1] to logits [B, 65], the last for garbage."""
        return self.head(self.features(images))

    def features(self, images: Tensor) -> Tensor:
        """Images [B, 3, S, S] in [-1, 1] to what the last layer sees, [B, 128], for a Fréchet distance."""
        return F.silu(self.body(resized(images))).mean(dim=(2, 3))

    @torch.no_grad()
    def classify(self, images: Tensor) -> Tensor:
        """Images [B, 3, S, S] in [-1, 1] to labels [B] in [0, 64], 64 meaning garbage."""
        return self(images).argmax(dim=1)


def resized(images: Tensor, size: int = SIZE) -> Tensor:
    """Images [B, 3, S, S] as [B, 3, size, size]; the same where they have that size."""
    if images.shape[-1] == size:
        return images
    mode = "bicubic" if images.shape[-1] < size else "bilinear"  # enlarged bilinearly, a drawing loses its lines
    return F.interpolate(images, size=(size, size), mode=mode, antialias=True)
