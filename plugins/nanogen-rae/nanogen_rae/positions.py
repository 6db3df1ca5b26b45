"""Fixed two-dimensional sine-cosine positions of MAE (He et al., arXiv 2111.06377)."""

from __future__ import annotations

import torch
from torch import Tensor

BASE = 10_000.0


def positions(width: int, grid: int) -> Tensor:
    """Return the positions [1 + grid * grid, width], float32. The first one, of the class token, is zero.

    The first half of the width encodes the column, the second the row. Each half is sines, then cosines.

    Args:
        width: Width of the tokens.
        grid: Tokens along one side.
    """
    steps = torch.arange(grid, dtype=torch.float64)
    wave = _waves(steps, width // 2)  # [grid, width / 2]
    column = wave.repeat(grid, 1)  # [grid * grid, width / 2]
    line = wave.repeat_interleave(grid, dim=0)
    table = torch.cat([column, line], dim=1)
    return torch.cat([torch.zeros(1, width, dtype=torch.float64), table]).float()


def _waves(steps: Tensor, width: int) -> Tensor:
    """Sines, then cosines, of positions [n] with wavelengths from 2 pi to 20,000 pi: [n, width]."""
    frequencies = BASE ** -(torch.arange(width // 2, dtype=torch.float64) / (width / 2))
    angles = steps[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=1)
