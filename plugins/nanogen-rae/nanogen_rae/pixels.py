"""Preprocessing of images for frozen networks, and rounding to 8 bits."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F

from nanogen_files.images import to_uint8
from nanogen_rae.families import Input


def prepared(images: Tensor, side: int, how: Input) -> Tensor:
    """Resize and normalise images for a network.

    Args:
        images: [B, 3, H, W] in [-1, 1].
        side: Side of the network's input in pixels.
        how: Resampling kernel, mean and standard deviation of the network.

    Returns:
        [B, 3, side, side].
    """
    unit = images.float() / 2 + 0.5
    if unit.shape[-2:] != (side, side):
        unit = F.interpolate(unit, size=(side, side), mode=how.kernel, antialias=how.antialias, align_corners=False)
    mean, std = (per_channel(numbers, unit) for numbers in how.statistics)
    return (unit - mean) / std


def in_8_bits(images: Tensor) -> Tensor:
    """Round images of any shape to the nearest of 256 levels in [-1, 1], without gradient."""
    levels: Tensor = to_uint8(images)
    return levels / 127.5 - 1


def per_channel(numbers: Sequence[float], like: Tensor) -> Tensor:
    """Return three numbers as a tensor [1, 3, 1, 1] with dtype and device of `like`."""
    return like.new_tensor(numbers).reshape(1, -1, 1, 1)
