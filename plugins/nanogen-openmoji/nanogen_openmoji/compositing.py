"""Places sprites on images, by one affine `grid_sample` per batch."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from nanogen_openmoji.sprites import MARGIN


class Placement(NamedTuple):
    """The position of each sprite, all fields [B]. Lengths are shares of the image's side; y points down."""

    x: Tensor  # centre
    y: Tensor
    size: Tensor  # side of the emoji, without the margin of its sprite
    angle: Tensor  # radians, clockwise
    flip: Tensor  # 1, or -1 for mirrored left to right


def place_sprites(sprites: Tensor, placement: Placement, size: int) -> Tensor:
    """Resample sprites onto transparent images.

    Resampling is bilinear. The result is smooth unless a sprite shrinks to less than about half of its R pixels.

    Args:
        sprites: [B, 4, R, R], premultiplied by alpha.
        placement: Where each sprite goes.
        size: S, the side of the images in pixels.

    Returns:
        [B, 4, S, S], premultiplied by alpha.
    """
    share = 1 - 2 * MARGIN / sprites.shape[-1]  # of the sprite's side, without its margin
    grid = _grid(placement, size, share)
    return F.grid_sample(sprites, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def over(front: Tensor, back: Tensor) -> Tensor:
    """Composite sprites [B, 4, S, S], premultiplied by alpha, over opaque images [B, 3, S, S] (Porter and Duff,
    1984)."""
    return front[:, :3] + (1 - front[:, 3:]) * back


def _grid(placement: Placement, size: int, share: float) -> Tensor:
    """Return the point in the sprite's square [-1, 1]^2 for each pixel of the image, [B, S, S, 2].

    A batched matrix product could round one image differently in different batches, so the rotation is written out.
    """
    pixel = (torch.arange(size) + 0.5) / size  # [S]
    scale = 2 * share / placement.size  # [B]
    x = (pixel - placement.x[:, None]) * scale[:, None]  # [B, S]
    y = (pixel - placement.y[:, None]) * scale[:, None]
    cos, sin = placement.angle.cos()[:, None], placement.angle.sin()[:, None]
    across = (x * cos)[:, None, :] + (y * sin)[:, :, None]  # [B, S, S]
    down = (y * cos)[:, :, None] - (x * sin)[:, None, :]
    return torch.stack([across * placement.flip[:, None, None], down], dim=-1)
