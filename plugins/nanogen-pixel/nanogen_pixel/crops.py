"""Random resized crops, the same of a predicted and of a real image, as one matrix product for each axis.

The random numbers are keyed: losses that ask for crops of one step get the same ones.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from nanogen_core.randomness import KeyedRNG

AREA, ASPECT = (0.08, 1.0), (3 / 4, 4 / 3)  # shares of the image's area, and width over height


class Crops(NamedTuple):
    """A rectangle of whole pixels in each image."""

    top: Tensor  # [B]
    left: Tensor  # [B]
    height: Tensor  # [B]
    width: Tensor  # [B]

    def rows(self, places: Tensor) -> Crops:
        """Those of the images at `places` in the batch."""
        return Crops(*(value[places] for value in self))


def random_crops(rng: KeyedRNG, height: int, width: int) -> Crops:
    """A rectangle for each sample: its area is uniform in `AREA`, the logarithm of its aspect in that of `ASPECT`."""
    area, aspect, y, x = rng.uniform("perceptual.crop", (4,)).unbind(1)  # [B] each
    area = height * width * _between(area, *AREA)
    aspect = _between(aspect, *map(math.log, ASPECT)).exp()
    tall = (area / aspect).sqrt().round().clamp(1, height)
    wide = (area * aspect).sqrt().round().clamp(1, width)
    return Crops(_start(y, height - tall), _start(x, width - wide), tall, wide)


def cropped(images: Tensor, crops: Crops, side: int) -> Tensor:
    """Images [B, C, H, W] -> their crops [B, C, side, side] float32, bicubic with antialiasing.

    As in jax.image.scale_and_translate and in Pillow's `resize` with a box, the filter sees pixels beside the crop.
    """
    rows = _weights(crops.top, crops.height, images.shape[-2], side).to(images.device)  # [B, side, H]
    columns = _weights(crops.left, crops.width, images.shape[-1], side).to(images.device)  # [B, side, W]
    with torch.autocast(images.device.type, enabled=False):  # bf16 has fewer digits than a pixel
        return rows[:, None] @ images.float() @ columns[:, None].transpose(-1, -2)


def _between(uniform: Tensor, low: float, high: float) -> Tensor:
    return low + uniform * (high - low)


def _start(uniform: Tensor, most: Tensor) -> Tensor:
    """A whole number from 0 to `most`."""
    return torch.minimum((uniform * (most + 1)).floor(), most)


def _weights(start: Tensor, length: Tensor, pixels: int, side: int) -> Tensor:
    """What each of `pixels` adds to each of `side` samples between `start` and `start + length`: [B, side, pixels]."""
    step = length[:, None, None] / side
    centres = start[:, None, None] + (torch.arange(side, device=start.device)[:, None] + 0.5) * step - 0.5
    distance = (centres - torch.arange(pixels, device=start.device)).abs() / step.clamp(min=1)
    weights = _cubic(distance)
    return weights / weights.sum(dim=-1, keepdim=True)


def _cubic(x: Tensor) -> Tensor:
    """Keys' kernel with a = -1/2, for distances x >= 0."""
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return torch.where(x < 1, near, torch.where(x < 2, far, 0.0))
