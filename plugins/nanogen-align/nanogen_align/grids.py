"""Rows of tokens as pictures, and pictures of another resolution."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor


def as_map(tokens: Tensor) -> Tensor:
    """Tokens [B, N, D] of a square image, row-major, as a map [B, D, sqrt N, sqrt N]."""
    side = math.isqrt(tokens.shape[1])
    return tokens.transpose(1, 2).reshape(tokens.shape[0], -1, side, side)


def as_tokens(picture: Tensor) -> Tensor:
    """The other way round: [B, D, h, w] -> [B, h * w, D]."""
    return picture.flatten(2).transpose(1, 2)


def resampled(tokens: Tensor, count: int) -> Tensor:
    """Tokens [B, N, D] as [B, count, D], bilinear where the teacher's grid is not the backbone's."""
    if tokens.shape[1] == count:
        return tokens
    side = math.isqrt(count)
    return as_tokens(F.interpolate(as_map(tokens), size=(side, side), mode="bilinear", antialias=True))
