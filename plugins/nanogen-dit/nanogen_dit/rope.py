"""Rotary position embedding on two axes (arXiv 2104.09864): half of a head turns by the row, half by the column.

A head's pairs are (i, i + d/2) here, so that a rotation is one roll; the published layout pairs (2i, 2i + 1). The two
are the same network with the rows of q and k in another order, which `published/layout.py` takes care of.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BASE = 10_000.0


class Rotation(NamedTuple):
    """Cosines, and sines with the sign of their half: what `rotate` multiplies with."""

    cos: Tensor  # [S, 1, d]
    sin: Tensor  # [S, 1, d]


def angles(height: int, width: int, head: int) -> Tensor:
    """Angles [height * width, head / 2] of each pair, float64: rows first, then columns, positions 0 .. side - 1."""
    frequencies = BASE ** (-torch.arange(0, head // 2, 2, dtype=torch.float64) / (head // 2))  # [d/4]
    rows = torch.arange(height, dtype=torch.float64).repeat_interleave(width)  # [h w]
    columns = torch.arange(width, dtype=torch.float64).repeat(height)  # [h w]
    return torch.cat([torch.outer(rows, frequencies), torch.outer(columns, frequencies)], dim=1)


def rotate(x: Tensor, by: Rotation) -> Tensor:
    """Each pair (a, b) of `x` [B, S, heads, d] -> (a cos - b sin, b cos + a sin)."""
    return x * by.cos + torch.roll(x, x.shape[-1] // 2, dims=-1) * by.sin


class RoPE(nn.Module):
    """The rotations of a sequence: `before` tokens without position, `height` x `width` image tokens, `after` others.

    Tokens without position have angle 0. The tables are buffers that no checkpoint needs.
    """

    cos: Tensor
    sin: Tensor

    def __init__(self, grid: tuple[int, int], head: int, *, before: int = 0, after: int = 0):
        super().__init__()
        angle = F.pad(angles(*grid, head), (0, 0, before, after))[:, None]  # [S, 1, d/2]
        self.register_buffer("cos", torch.cat([angle.cos(), angle.cos()], dim=-1).float(), persistent=False)
        self.register_buffer("sin", torch.cat([-angle.sin(), angle.sin()], dim=-1).float(), persistent=False)

    def forward(self, length: int) -> Rotation:
        """The rotations of the first `length` tokens."""
        return Rotation(self.cos[:length], self.sin[:length])
