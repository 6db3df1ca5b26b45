"""DiffAugment (Zhao et al., arXiv 2006.10738) as StyleGAN-T has it: what a discriminator sees, changed at random."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from nanogen_core.randomness import KeyedRNG
from nanogen_core.tensors import per_sample

SHIFT = 0.125  # of the side, at most
DRAWS = 7  # numbers of a sample: shift of rows and columns, brightness, saturation, contrast, row and column of a hole


class DiffAugment:
    """Translation, then colour, then a square hole of zeros; differentiable.

    Each of the three happens to the whole batch with `probability`, by amounts of each sample's own. `cutout` is the
    side of the hole as a share of the image's.
    """

    def __init__(self, probability: float = 1.0, cutout: float = 0.0):
        self.probability, self.cutout = probability, cutout

    def __call__(self, images: Tensor, rng: KeyedRNG, purpose: str) -> Tensor:
        """Images [B, 3, H, H] in [-1, 1] -> the same shape, by the draws of this purpose."""
        down, right, *colours, row, column = rng.uniform(f"augment.{purpose}", (DRAWS,)).unbind(dim=1)  # each [B]
        if self._happens(rng, f"translation.{purpose}"):
            images = _moved(images, down, right)
        if self._happens(rng, f"colour.{purpose}"):
            images = _coloured(images, *colours)
        if self.cutout and self._happens(rng, f"hole.{purpose}"):
            images = _cut(images, row, column, edge=round(images.shape[-1] * self.cutout))
        return images

    def _happens(self, rng: KeyedRNG, purpose: str) -> bool:
        return self.probability >= 1 or rng.shared_uniform(f"augment.{purpose}") <= self.probability


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


def _coloured(images: Tensor, brightness: Tensor, saturation: Tensor, contrast: Tensor) -> Tensor:
    """Brightness by up to half the range of [0, 1], saturation from 0 to 2, contrast from 0.5 to 1.5."""
    x = images + per_sample(brightness - 0.5, images)
    grey = x.mean(dim=1, keepdim=True)
    x = grey + (x - grey) * per_sample(2 * saturation, x)
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    return mean + (x - mean) * per_sample(contrast + 0.5, x)


def _cut(images: Tensor, row: Tensor, column: Tensor, *, edge: int) -> Tensor:
    """A hole of `edge` x `edge` zeros; its centre lies anywhere, so that an image's edge may cut it."""
    side = images.shape[-1]
    lines = torch.arange(side, device=images.device)
    starts = [(chance * (side + 1 - edge % 2)).long()[:, None] - edge // 2 for chance in (row, column)]  # [B, 1]
    inside = [(lines >= start) & (lines < start + edge) for start in starts]  # [B, side]
    hole = inside[0][:, :, None] & inside[1][:, None, :]  # [B, H, W]
    return images.masked_fill(hole[:, None], 0.0)
