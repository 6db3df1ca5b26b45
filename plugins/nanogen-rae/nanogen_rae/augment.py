"""DiffAugment (Zhao et al., arXiv 2006.10738) as in StyleGAN-T: random augmentation of a discriminator's input."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from nanogen_core.randomness import KeyedRNG
from nanogen_core.tensors import per_sample

SHIFT = 0.125  # largest translation, as a fraction of the side
DRAWS = 7  # random numbers per sample: translation (2), brightness, saturation, contrast, centre of the hole (2)


class DiffAugment:
    """Translates images, then changes their colours, then cuts a square hole of zeros. All steps are differentiable.

    Args:
        probability: Probability of each of the three steps. A step applies to the whole batch or not at all. Its
            amount, such as the distance of the translation, is drawn per sample.
        cutout: Side of the hole, as a fraction of the image's side. 0: no hole.
    """

    def __init__(self, probability: float = 1.0, cutout: float = 0.0):
        self.probability, self.cutout = probability, cutout

    def __call__(self, images: Tensor, rng: KeyedRNG, purpose: str) -> Tensor:
        """Augment images [B, 3, H, H] in [-1, 1].

        Args:
            rng: Random numbers, one slot per image.
            purpose: Name of the call, such as "real". Calls with different names get different random numbers.
        """
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
    """Translate by up to an eighth of the side, with zero padding."""
    side = images.shape[-1]
    margin = round(side * SHIFT)
    rows, columns = (_indices(uniform, side, margin) for uniform in (down, right))  # [B, side]
    padded = F.pad(images, (margin, margin, margin, margin))
    batch = torch.arange(len(images), device=images.device)[:, None, None]
    return padded.permute(0, 2, 3, 1)[batch, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def _indices(uniform: Tensor, side: int, margin: int) -> Tensor:
    """Return the rows [B, side] of the padded image to keep, for translations from -margin to margin."""
    start = (uniform * (2 * margin + 1)).long()
    return start[:, None] + torch.arange(side, device=uniform.device)


def _coloured(images: Tensor, brightness: Tensor, saturation: Tensor, contrast: Tensor) -> Tensor:
    """Add a brightness in [-0.5, 0.5]; scale the saturation by [0, 2] and the contrast by [0.5, 1.5]."""
    x = images + per_sample(brightness - 0.5, images)
    grey = x.mean(dim=1, keepdim=True)
    x = grey + (x - grey) * per_sample(2 * saturation, x)
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    return mean + (x - mean) * per_sample(contrast + 0.5, x)


def _cut(images: Tensor, row: Tensor, column: Tensor, *, edge: int) -> Tensor:
    """Set a square of `edge` x `edge` pixels to 0. Its centre is uniform, so that it may extend beyond the image."""
    side = images.shape[-1]
    lines = torch.arange(side, device=images.device)
    starts = [(uniform * (side + 1 - edge % 2)).long()[:, None] - edge // 2 for uniform in (row, column)]  # [B, 1]
    inside = [(lines >= start) & (lines < start + edge) for start in starts]  # [B, side]
    hole = inside[0][:, :, None] & inside[1][:, None, :]  # [B, H, W]
    return images.masked_fill(hole[:, None], 0.0)
