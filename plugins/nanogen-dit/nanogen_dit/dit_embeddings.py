"""What DiT is given: fixed positions, times by sines and cosines, one vector for the condition."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nanogen_core.specs import ConditionSpec
from nanogen_dit.layers import RMSNorm
from nanogen_dit.linear import Linear

FEATURES = 256  # of a time
LONGEST = 10_000


def position_table(grid: tuple[int, int], width: int) -> Tensor:
    """Fixed sine-cosine positions [rows * columns, width] of a grid of tokens, row-major.

    The first half of the width is the column, the second the row; each half is sines, then cosines.
    """
    rows, columns = (torch.arange(side, dtype=torch.float64) for side in grid)
    row, column = torch.meshgrid(rows, columns, indexing="ij")
    halves = [_sines_and_cosines(axis.flatten(), width // 2) for axis in (column, row)]
    return torch.cat(halves, dim=1).float()


def _sines_and_cosines(positions: Tensor, width: int) -> Tensor:
    frequencies = LONGEST ** -(torch.arange(width // 2, dtype=torch.float64) / (width / 2))
    angles = positions[:, None] * frequencies  # [N, width / 2]
    return torch.cat([angles.sin(), angles.cos()], dim=1)


class TimestepEmbedding(nn.Module):
    """Cosines, then sines, of `factor * t` at 128 fixed frequencies from 1 to 1e-4, and an MLP: [B] -> [B, width]."""

    frequencies: Tensor

    def __init__(self, width: int, factor: float):
        super().__init__()
        self.factor = factor
        half = FEATURES // 2
        # in float32, as the weights were trained: at factor 1000 another rounding of a frequency shows
        frequencies = torch.exp(-math.log(LONGEST) * torch.arange(half, dtype=torch.float32) / half)
        self.register_buffer("frequencies", frequencies, persistent=False)
        self.mlp_in = Linear(FEATURES, width)
        self.mlp_out = Linear(width, width)

    def forward(self, t: Tensor) -> Tensor:
        angles = (self.factor * t)[:, None] * self.frequencies  # [B, 128]
        features = torch.cat([angles.cos(), angles.sin()], dim=1).to(self.mlp_in.weight.dtype)
        out: Tensor = self.mlp_out(F.silu(self.mlp_in(features)))
        return out


class PooledCondition(nn.Module):
    """The mean of the real condition tokens, projected: [B, L, D] -> [B, width].

    A class label is one one-hot token, so that the projection is its embedding table. Texts are normalised first. A
    condition without a real token (the empty text) has a mean of zero.
    """

    def __init__(self, condition: ConditionSpec, width: int):
        super().__init__()
        self.norm = RMSNorm(condition.width) if condition.normalize else nn.Identity()
        self.proj = Linear(condition.width, width, bias=condition.padded)

    def forward(self, tokens: Tensor, mask: Tensor | None) -> Tensor:
        tokens = self.norm(tokens)
        if mask is None:
            pooled = tokens.mean(dim=1)
        else:
            real = mask[..., None].to(tokens.dtype)
            # where, not a product: a masked token may hold anything
            total = torch.where(mask[..., None], tokens, 0).sum(dim=1)
            pooled = total / real.sum(dim=1).clamp(min=1)
        out: Tensor = self.proj(pooled.to(self.proj.weight.dtype))
        return out
