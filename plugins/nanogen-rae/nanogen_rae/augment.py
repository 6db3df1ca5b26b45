"""DiffAugment (Zhao et al., arXiv 2006.10738): what a discriminator sees, changed alike for real and decoded images."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from nanogen_core.randomness import Draws
from nanogen_core.tensors import per_sample

SHIFT = 0.125  # of the side, at most


class Augment:
    """Colour, translation and perhaps a hole, from the draws of one purpose; differentiable."""

    def __init__(self, cutout: float):
        self.cutout = cutout

    def __call__(self, images: Tensor, rng: Draws, purpose: str) -> Tensor:
        """Images [B, 3, H, W] in [-1, 1] -> the same shape; every sample has its own chances."""
        chances = rng.uniform(f"augment.{purpose}", (7,)).unbind(dim=1)  # 7 x [B]
        coloured = _coloured(images, *chances[:3])
        moved = _moved(coloured, *chances[3:5])
        return _cut(moved, *chances[5:], share=self.cutout) if self.cutout else moved


def _coloured(images: Tensor, brightness: Tensor, saturation: Tensor, contrast: Tensor) -> Tensor:
    """Brightness by up to half the range of [0, 1], saturation from 0 to 2, contrast from 0.5 to 1.5."""
    x = images + per_sample(brightness - 0.5, images)
    grey = x.mean(dim=1, keepdim=True)
    x = grey + (x - grey) * per_sample(2 * saturation, x)
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    return mean + (x - mean) * per_sample(contrast + 0.5, x)


def _moved(images: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """Moved by up to an eighth of the side each way; what comes in is zero."""
    side = images.shape[-1]
    most = round(side * SHIFT)
    rows, columns = (_places(chance, side, most) for chance in (down, right))  # [B, side]
    padded = F.pad(images, (most, most, most, most))
    batch = torch.arange(len(images), device=images.device)[:, None, None]
    return padded.permute(0, 2, 3, 1)[batch, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def _places(chance: Tensor, side: int, most: int) -> Tensor:
    """[B] -> [B, side]: the padded image's lines that are seen, for a shift in -most .. most."""
    start = (chance * (2 * most + 1)).long()
    return start[:, None] + torch.arange(side, device=chance.device)


def _cut(images: Tensor, down: Tensor, right: Tensor, *, share: float) -> Tensor:
    """A square hole of zeros, its centre anywhere."""
    side = images.shape[-1]
    lines = torch.arange(side, device=images.device)
    away = [(lines - per_sample(chance * side, lines[None])).abs() < share * side / 2 for chance in (down, right)]
    hole = away[0][:, :, None] & away[1][:, None, :]  # [B, H, W]
    return images.masked_fill(hole[:, None], 0.0)
