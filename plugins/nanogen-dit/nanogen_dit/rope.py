"""Rotary position embedding (arXiv 2104.09864) on two axes: half of a head's pairs encode the row, half the column.

The pairs of a head of width d are channels (i, i + d/2), so that a rotation is one roll. Published pairs: (2i, 2i + 1).
`published/layout.py` permutes the rows of q and k accordingly.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BASE = 10_000.0


class Rotation(NamedTuple):
    """Factors of `rotate`: cosines, and sines with a negative sign in the first half of a head."""

    cos: Tensor  # [S, 1, d], or [B, S, 1, d] if the positions differ between samples
    sin: Tensor  # as cos


def angles(height: int, width: int, head: int) -> Tensor:
    """Return the angles of the pairs of a head, float64 [height * width, head / 2].

    The first half of the pairs encodes the row 0 .. height - 1, the second the column 0 .. width - 1.

    Args:
        height, width: Rows and columns of tokens.
        head: Width of a head.
    """
    frequencies = BASE ** (-torch.arange(0, head // 2, 2, dtype=torch.float64) / (head // 2))  # [d/4]
    rows = torch.arange(height, dtype=torch.float64).repeat_interleave(width)  # [h w]
    columns = torch.arange(width, dtype=torch.float64).repeat(height)  # [h w]
    return torch.cat([torch.outer(rows, frequencies), torch.outer(columns, frequencies)], dim=1)


def rotate(x: Tensor, by: Rotation) -> Tensor:
    """Rotate each pair (a, b) of `x` [B, S, heads, d] to (a cos - b sin, b cos + a sin)."""
    return x * by.cos + torch.roll(x, x.shape[-1] // 2, dims=-1) * by.sin


class RoPE(nn.Module):
    """Rotations of a sequence of tokens. Tokens without a position have angle 0. Rotations are not saved.

    Args:
        grid: Rows and columns of image tokens.
        head: Width of a head.
        before, after: Numbers of tokens without a position before and after the image tokens.
    """

    cos: Tensor
    sin: Tensor

    def __init__(self, grid: tuple[int, int], head: int, *, before: int = 0, after: int = 0):
        super().__init__()
        angle = F.pad(angles(*grid, head), (0, 0, before, after))[:, None]  # [S, 1, d/2]
        self.register_buffer("cos", torch.cat([angle.cos(), angle.cos()], dim=-1).float(), persistent=False)
        self.register_buffer("sin", torch.cat([-angle.sin(), angle.sin()], dim=-1).float(), persistent=False)

    def forward(self, length: int) -> Rotation:
        """Return the rotations of the first `length` tokens."""
        return Rotation(self.cos[:length], self.sin[:length])
