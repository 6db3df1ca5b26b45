"""Layers of a vision transformer with the parameter names of timm and the original DINO."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Gelu = Literal["none", "tanh"]  # approximation of the GELU


class Sizes(NamedTuple):
    """Sizes of a vision transformer."""

    width: int
    patch: int  # pixels
    depth: int
    hidden: int  # of the MLPs

    @classmethod
    def of(cls, state: Mapping[str, Tensor]) -> Sizes:
        """Infer the sizes from the weights. Raises KeyError if a tensor is missing."""
        weight = state["patch_embed.proj.weight"]  # [D, 3, patch, patch]
        depth = 1 + max((int(name.split(".")[1]) for name in state if name.startswith("blocks.")), default=-1)
        return cls(weight.shape[0], weight.shape[2], depth, state["blocks.0.mlp.fc1.weight"].shape[0])


class Attention(nn.Module):
    """Multi-head self-attention."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor, angles: Tensor | None) -> Tensor:
        """Map tokens [B, T, D] to [B, T, D]. `angles` [T, D / heads] are rotary angles or None."""
        q, k, v = self.qkv(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # 3 x [B, H, T, D / H]
        if angles is not None:
            q, k = rotated(q, angles), rotated(k, angles)
        joined: Tensor = self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return joined


class Block(nn.Module):
    """Pre-norm transformer block.

    Args:
        width: Width of the tokens.
        heads: Number of attention heads.
        hidden: Inner width of the MLP.
        eps: Epsilon of the norms.
        gelu: Approximation of the GELU.
        scaled: Whether there are layer scales (`gamma_1`, `gamma_2`).
    """

    def __init__(self, width: int, heads: int, hidden: int, *, eps: float, gelu: Gelu = "none", scaled: bool = False):
        super().__init__()
        self.gelu = gelu
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=eps), nn.LayerNorm(width, eps=eps)
        self.attn = Attention(width, heads)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, hidden), "fc2": nn.Linear(hidden, width)})
        self.gamma_1 = nn.Parameter(torch.empty(width)) if scaled else None
        self.gamma_2 = nn.Parameter(torch.empty(width)) if scaled else None

    def forward(self, x: Tensor, angles: Tensor | None = None) -> Tensor:
        """Map tokens [B, T, D] to [B, T, D]. `angles` [T, D / heads] are rotary angles or None."""
        x = x + _scaled(self.attn(self.norm1(x), angles), self.gamma_1)
        inner = F.gelu(self.mlp["fc1"](self.norm2(x)), approximate=self.gelu)
        return x + _scaled(self.mlp["fc2"](inner), self.gamma_2)


def _scaled(x: Tensor, gamma: Tensor | None) -> Tensor:
    return x if gamma is None else x * gamma


def rotated(x: Tensor, angles: Tensor) -> Tensor:
    """Rotate each adjacent pair of features of `x` [B, H, T, D] by its angle in `angles` [T, D]."""
    rotated_half = torch.stack([-x[..., 1::2], x[..., ::2]], dim=-1).flatten(-2)
    return (x.float() * angles.cos() + rotated_half.float() * angles.sin()).to(x.dtype)
