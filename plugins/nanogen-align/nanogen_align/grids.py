"""Conversion between tokens and feature maps, and resampling of token grids."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor


def as_map(tokens: Tensor) -> Tensor:
    """Reshape row-major tokens [B, N, D] of a square grid to a feature map [B, D, sqrt(N), sqrt(N)]."""
    side = math.isqrt(tokens.shape[1])
    return tokens.transpose(1, 2).reshape(tokens.shape[0], -1, side, side)


def as_tokens(feature_map: Tensor) -> Tensor:
    """Reshape a feature map [B, D, h, w] to row-major tokens [B, h * w, D]."""
    return feature_map.flatten(2).transpose(1, 2)


def resampled(tokens: Tensor, count: int) -> Tensor:
    """Resample tokens [B, N, D] of a square grid to [B, count, D] (bilinear). If N = count, they are unchanged."""
    if tokens.shape[1] == count:
        return tokens
    side = math.isqrt(count)
    return as_tokens(F.interpolate(as_map(tokens), size=(side, side), mode="bilinear", antialias=True))
