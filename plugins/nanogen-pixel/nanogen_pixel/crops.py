"""Random resized crops of predicted and real images, as one matrix product for each axis.

The random numbers are keyed, so that all losses of a step use the same crops.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from nanogen_core.randomness import KeyedRNG

AREA, ASPECT = (0.08, 1.0), (3 / 4, 4 / 3)  # fraction of the image's area; width over height


class Crops(NamedTuple):
    """One rectangle of whole pixels for each image."""

    top: Tensor  # [B]
    left: Tensor  # [B]
    height: Tensor  # [B]
    width: Tensor  # [B]


def random_crops(rng: KeyedRNG, height: int, width: int) -> Crops:
    """Draw one crop per sample, similar to torchvision's RandomResizedCrop.

    The area fraction is uniform in `AREA`. The aspect ratio (width / height) is log-uniform in `ASPECT`. A side that is
    longer than the image is shortened to fit; torchvision would draw again.

    Args:
        rng: Random numbers, one slot per sample.
        height, width: Size of the images in pixels.

    Returns:
        Crops of B rectangles in whole pixels, inside the image.
    """
    area, aspect, y, x = rng.uniform("perceptual.crop", (4,)).unbind(1)  # [B] each
    area = height * width * _between(area, *AREA)
    aspect = _between(aspect, *map(math.log, ASPECT)).exp()
    tall = (area / aspect).sqrt().round().clamp(1, height)
    wide = (area * aspect).sqrt().round().clamp(1, width)
    return Crops(_start(y, height - tall), _start(x, width - wide), tall, wide)


def cropped(images: Tensor, crops: Crops, side: int) -> Tensor:
    """Crop and resize images, bicubic with antialiasing.

    The filter also reads pixels outside the crop, as do `jax.image.scale_and_translate` and Pillow's `resize(box=...)`.

    Args:
        images: [B, C, H, W].
        crops: One rectangle for each image.
        side: Height and width of the result in pixels.

    Returns:
        [B, C, side, side], float32.
    """
    rows = _weights(crops.top, crops.height, images.shape[-2], side).to(images.device)  # [B, side, H]
    columns = _weights(crops.left, crops.width, images.shape[-1], side).to(images.device)  # [B, side, W]
    with torch.autocast(images.device.type, enabled=False):  # bf16 is less precise than 8-bit pixels
        return rows[:, None] @ images.float() @ columns[:, None].transpose(-1, -2)


def _between(uniform: Tensor, low: float, high: float) -> Tensor:
    return low + uniform * (high - low)


def _start(uniform: Tensor, high: Tensor) -> Tensor:
    """Return a whole number from 0 to `high`."""
    return torch.minimum((uniform * (high + 1)).floor(), high)


def _weights(start: Tensor, length: Tensor, pixels: int, side: int) -> Tensor:
    """Return the weights [B, side, pixels] of input pixels for `side` samples from `start` to `start + length`."""
    step = length[:, None, None] / side
    centres = start[:, None, None] + (torch.arange(side, device=start.device)[:, None] + 0.5) * step - 0.5
    distance = (centres - torch.arange(pixels, device=start.device)).abs() / step.clamp(min=1)
    weights = _cubic(distance)
    return weights / weights.sum(dim=-1, keepdim=True)


def _cubic(x: Tensor) -> Tensor:
    """Keys' cubic kernel with a = -1/2, for distances x >= 0."""
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return torch.where(x < 1, near, torch.where(x < 2, far, 0.0))
