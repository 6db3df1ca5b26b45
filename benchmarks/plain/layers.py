"""Norm, attention, MLP and blocks."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class RMSNorm(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * self.weight


class Attention(nn.Module):
    """Self-attention by torch's fused kernel, or by tensor operations, which have forward-mode derivatives."""

    def __init__(self, width: int, heads: int, explicit: bool):
        super().__init__()
        self.heads, self.explicit = heads, explicit
        self.q, self.k, self.v = (nn.Linear(width, width) for _ in range(3))
        self.q_norm, self.k_norm = RMSNorm(width // heads), RMSNorm(width // heads)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor | None) -> Tensor:
        b, s, width = x.shape
        q, k, v = (f(x).reshape(b, s, self.heads, -1).transpose(1, 2) for f in (self.q, self.k, self.v))
        q, k = rotate(self.q_norm(q), cos, sin), rotate(self.k_norm(k), cos, sin)
        mixed = attend(q, k, v, mask) if self.explicit else F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.proj(mixed.transpose(1, 2).reshape(b, s, width))


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    scores = q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    return scores.softmax(dim=-1) @ v


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    a, b = x[..., 0::2], x[..., 1::2]
    return torch.stack([a * cos - b * sin, b * cos + a * sin], dim=-1).flatten(-2)


def angles(grid: int, head: int, others: int) -> Tensor:
    """Return the angles [grid * grid + others, head / 2] of image tokens, and zeros for the tokens after them."""
    frequencies = 10_000 ** (-torch.arange(0, head // 2, 2) / (head // 2))
    position = torch.arange(grid * grid)
    rows, columns = position // grid, position % grid
    angle = torch.cat([rows[:, None] * frequencies, columns[:, None] * frequencies], dim=1)
    return F.pad(angle, (0, 0, 0, others))


class MLP(nn.Module):
    def __init__(self, width: int, inner: int):
        super().__init__()
        self.w1, self.w2, self.w3 = nn.Linear(width, inner), nn.Linear(width, inner), nn.Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.w3(F.silu(self.w1(x)) * self.w2(x))


class Block(nn.Module):
    def __init__(self, width: int, heads: int, explicit: bool):
        super().__init__()
        self.norm1, self.attn = RMSNorm(width), Attention(width, heads, explicit)
        self.norm2, self.mlp = RMSNorm(width), MLP(width, int(2 / 3 * 4 * width))

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x), cos, sin, mask)
        return x + self.mlp(self.norm2(x))


class AdaLNBlock(Block):
    """Block whose shifts, scales and gates come from a conditioning vector of each token."""

    def __init__(self, width: int, heads: int, explicit: bool):
        super().__init__(width, heads, explicit)
        self.adaln_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, condition: Tensor) -> Tensor:
        shift1, scale1, gate1, shift2, scale2, gate2 = self.adaln_modulation(condition).chunk(6, dim=-1)
        x = x + gate1 * self.attn(self.norm1(x) * (1 + scale1) + shift1, cos, sin, None)
        return x + gate2 * self.mlp(self.norm2(x) * (1 + scale2) + shift2)
