"""Putting sprites on a canvas: one affine `grid_sample` for the whole batch."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from nanogen_openmoji.sprites import MARGIN


class Placement(NamedTuple):
    """Where each sprite goes; all fields [B]. Lengths are shares of the canvas, y points down."""

    x: Tensor  # centre
    y: Tensor
    size: Tensor  # side of the drawing, without the margin around its sprite
    angle: Tensor  # radians, clockwise
    flip: Tensor  # 1 as drawn, -1 mirrored left to right


def place(sprites: Tensor, at: Placement, size: int) -> Tensor:
    """Resample sprites [B, 4, R, R] onto transparent canvases [B, 4, size, size].

    Bilinear: smooth as long as a sprite shrinks to no less than about half of its R pixels.
    """
    drawn = 1 - 2 * MARGIN / sprites.shape[-1]  # share of the sprite that is drawing
    return F.grid_sample(sprites, _grid(at, size, drawn), mode="bilinear", padding_mode="zeros", align_corners=False)


def over(front: Tensor, back: Tensor) -> Tensor:
    """Lay sprites [B, 4, S, S], premultiplied by alpha, over opaque images [B, 3, S, S] (Porter and Duff 1984)."""
    return front[:, :3] + (1 - front[:, 3:]) * back


def _grid(at: Placement, size: int, drawn: float) -> Tensor:
    """For every canvas pixel its point in the sprite's square [-1, 1]^2; [B, size, size, 2].

    Written out, since a batched matrix product need not give one image the same bits in every batch.
    """
    pixel = (torch.arange(size) + 0.5) / size  # [S]
    scale = 2 * drawn / at.size  # [B]
    x = (pixel - at.x[:, None]) * scale[:, None]  # [B, S]
    y = (pixel - at.y[:, None]) * scale[:, None]
    cos, sin = at.angle.cos()[:, None], at.angle.sin()[:, None]
    across = (x * cos)[:, None, :] + (y * sin)[:, :, None]  # [B, S, S]
    down = (y * cos)[:, :, None] - (x * sin)[:, None, :]
    return torch.stack([across * at.flip[:, None, None], down], dim=-1)
