"""Embeddings of DiT: fixed sine-cosine positions, timesteps, pooled condition."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nanogen_core.specs import ConditionSpec
from nanogen_dit.layers import RMSNorm
from nanogen_dit.linear import Linear
from nanogen_files.adaptation import Adapted, Origin, fresh

FEATURES = 256  # sine and cosine features of a time
MAX_PERIOD = 10_000


def position_table(grid: tuple[int, int], width: int) -> Tensor:
    """Return the sine-cosine positions [rows * columns, width] of a `grid` of (rows, columns), row-major.

    The first half of the width encodes the column, the second the row. Each half is sines, then cosines.
    """
    rows, columns = (torch.arange(side, dtype=torch.float64) for side in grid)
    row, column = torch.meshgrid(rows, columns, indexing="ij")
    halves = [_sines_and_cosines(axis.flatten(), width // 2) for axis in (column, row)]
    return torch.cat(halves, dim=1).float()


def _sines_and_cosines(positions: Tensor, width: int) -> Tensor:
    frequencies = MAX_PERIOD ** -(torch.arange(width // 2, dtype=torch.float64) / (width / 2))
    angles = positions[:, None] * frequencies  # [N, width / 2]
    return torch.cat([angles.sin(), angles.cos()], dim=1)


class TimestepEmbedding(nn.Module):
    """Timestep embedding: cosines and sines of `factor * t` at 128 frequencies 1e4^(-i/128), then an MLP.

    Args:
        width: Width of the embedding.
        factor: Factor of the time in its cosines and sines.
    """

    frequencies: Tensor

    def __init__(self, width: int, factor: float):
        super().__init__()
        self.factor = factor
        half = FEATURES // 2
        # in float32, as in the published code: at factor 1000 the rounding of a frequency matters
        frequencies = torch.exp(-math.log(MAX_PERIOD) * torch.arange(half, dtype=torch.float32) / half)
        self.register_buffer("frequencies", frequencies, persistent=False)
        self.mlp_in = Linear(FEATURES, width)
        self.mlp_out = Linear(width, width)

    def forward(self, t: Tensor) -> Tensor:
        """Map times [B] to embeddings [B, width], and times [B, N] to [B, N, width]."""
        angles = (self.factor * t)[..., None] * self.frequencies  # [..., 128]
        features = torch.cat([angles.cos(), angles.sin()], dim=-1).to(self.mlp_in.weight.dtype)
        out: Tensor = self.mlp_out(F.silu(self.mlp_in(features)))
        return out


class PooledCondition(nn.Module):
    """Mean of the unmasked condition tokens, projected.

    A class label is one one-hot token, so that the projection is an embedding table. With `condition.normalize` (texts)
    the tokens are RMS-normalised first. The mean of a text without unmasked tokens is zero.

    Args:
        condition: Shape of the condition.
        width: Width of the output.
    """

    def __init__(self, condition: ConditionSpec, width: int):
        super().__init__()
        self.norm = RMSNorm(condition.width) if condition.normalize else nn.Identity()
        self.proj = Linear(condition.width, width, bias=condition.padded)

    def forward(self, tokens: Tensor, mask: Tensor | None) -> Tensor:
        """Map tokens [B, L, D] to [B, width]. `mask` [B, L] is False at padding; None means no padding."""
        tokens = self.norm(tokens)
        if mask is None:
            pooled = tokens.mean(dim=1)
        else:
            real = mask[..., None].to(tokens.dtype)
            # torch.where in place of a product, since masked tokens may be NaN
            total = torch.where(mask[..., None], tokens, 0).sum(dim=1)
            pooled = total / real.sum(dim=1).clamp(min=1)
        out: Tensor = self.proj(pooled.to(self.proj.weight.dtype))
        return out

    def adapt_state(self, state: Mapping[str, Tensor], origin: Origin) -> Mapping[str, Adapted]:
        """Keep the initial weights if the pretrained network had another condition: its tokens had another meaning."""
        return {} if origin.same_condition else fresh(self)
