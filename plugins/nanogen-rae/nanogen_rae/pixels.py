"""From images in [-1, 1] to what a network was trained on, and to what a file would hold."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F

from nanogen_files.images import to_uint8
from nanogen_rae.families import Input


def prepared(images: Tensor, side: int, how: Input) -> Tensor:
    """Images [B, 3, H, W] in [-1, 1] -> [B, 3, side, side], normalised by the network's mean and deviation."""
    unit = images.float() / 2 + 0.5
    if unit.shape[-2:] != (side, side):
        unit = F.interpolate(unit, size=(side, side), mode=how.kernel, antialias=how.antialias, align_corners=False)
    mean, std = (per_channel(numbers, unit) for numbers in how.statistics)
    return (unit - mean) / std


def in_8_bits(images: Tensor) -> Tensor:
    """Images of any shape, about [-1, 1] -> the nearest ones of 256 levels in [-1, 1], without gradient."""
    return to_uint8(images) / 127.5 - 1


def per_channel(numbers: Sequence[float], like: Tensor) -> Tensor:
    """Three numbers as [1, 3, 1, 1]."""
    return like.new_tensor(numbers).reshape(1, -1, 1, 1)
