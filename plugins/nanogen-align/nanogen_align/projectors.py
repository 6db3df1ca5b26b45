"""Projectors from the width of a backbone's tokens to the width of a teacher's tokens."""

from __future__ import annotations

from torch import Tensor, nn

from nanogen_align.config import RepaConfig
from nanogen_align.grids import as_map, as_tokens
from nanogen_dit.linear import Linear


def linear(config: RepaConfig, width: int, out: int) -> nn.Module:
    """Return one linear map from `width` to `out`, as in DiffusionBench."""
    return Linear(width, out)


def mlp(config: RepaConfig, width: int, out: int) -> nn.Module:
    """Return an MLP from `width` to `out`: three linear maps with SiLU between them, as in the REPA paper."""
    inner = config.mlp_width
    layers = Linear(width, inner), nn.SiLU(), Linear(inner, inner), nn.SiLU(), Linear(inner, out)
    return nn.Sequential(*layers)


PROJECTORS = {"linear": linear, "mlp": mlp}


class Convolution(nn.Module):
    """3 x 3 convolution over a square grid of tokens: [B, N, width] to [B, N, out]."""

    def __init__(self, width: int, out: int):
        super().__init__()
        self.convolution = nn.Conv2d(width, out, kernel_size=3, padding=1)

    def forward(self, tokens: Tensor) -> Tensor:
        return as_tokens(self.convolution(as_map(tokens)))
