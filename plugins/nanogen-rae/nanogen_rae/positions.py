"""Fixed two-dimensional sine-cosine positions, as ViT-MAE has them (He et al., arXiv 2111.06377)."""

from __future__ import annotations

import torch
from torch import Tensor

BASE = 10_000.0


def positions(width: int, grid: int) -> Tensor:
    """The table [1 + grid * grid, width], float32; the class position, the first one, is zero.

    Half of each row speaks of the column, the other half of the line, each as sines and then cosines.
    """
    steps = torch.arange(grid, dtype=torch.float64)
    wave = _waves(steps, width // 2)  # [grid, width / 2]
    column = wave.repeat(grid, 1)  # [grid * grid, width / 2]
    line = wave.repeat_interleave(grid, dim=0)
    table = torch.cat([column, line], dim=1)
    return torch.cat([torch.zeros(1, width, dtype=torch.float64), table]).float()


def _waves(steps: Tensor, width: int) -> Tensor:
    """[n] -> [n, width]: sines, then cosines, of wavelengths from 2 pi to 20,000 pi."""
    frequencies = BASE ** -(torch.arange(width // 2, dtype=torch.float64) / (width / 2))
    angles = steps[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=1)
