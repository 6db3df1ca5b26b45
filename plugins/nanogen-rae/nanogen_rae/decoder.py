"""Decoder of a RAE: the ViT decoder of MAE (arXiv 2111.06377), from tokens to pixels."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nanogen_dit.linear import Linear
from nanogen_rae.positions import positions
from nanogen_rae.sizes import Size

EPS = 1e-12  # of every LayerNorm, as in the published decoders


class Attention(nn.Module):
    """Multi-head self-attention."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (Linear(width, width) for _ in range(3))
        self.out = Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens [B, N, D] to [B, N, D]."""
        q, k, v = (self._heads(layer(x)) for layer in (self.query, self.key, self.value))  # [B, H, N, D / H]
        mixed = F.scaled_dot_product_attention(q, k, v)
        joined: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return joined

    def _heads(self, x: Tensor) -> Tensor:
        return x.reshape(*x.shape[:2], self.heads, -1).transpose(1, 2)


class Block(nn.Module):
    """Pre-norm transformer block."""

    def __init__(self, size: Size):
        super().__init__()
        self.norm_before = nn.LayerNorm(size.width, eps=EPS)
        self.attention = Attention(size.width, size.heads)
        self.norm_after = nn.LayerNorm(size.width, eps=EPS)
        self.mlp_in = Linear(size.width, size.hidden)
        self.mlp_out = Linear(size.hidden, size.width)

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens [B, N, D] to [B, N, D]."""
        x = x + self.attention(self.norm_before(x))
        out: Tensor = x + self.mlp_out(F.gelu(self.mlp_in(self.norm_after(x))))
        return out


class Decoder(nn.Module):
    """ViT decoder from tokens to pixels. As in the published code, it starts from torch's default weights and a zero
    class token.

    Args:
        channels: Width of the tokens.
        grid: Tokens along one side.
        patch: Side of a token's patch in pixels.
        size: Width, depth and heads.
    """

    table: Tensor

    def __init__(self, channels: int, grid: int, patch: int, size: Size):
        super().__init__()
        self.patch = patch
        self.embed = Linear(channels, size.width)
        self.class_token = nn.Parameter(torch.zeros(1, 1, size.width))
        self.blocks = nn.ModuleList([Block(size) for _ in range(size.depth)])
        self.norm = nn.LayerNorm(size.width, eps=EPS)
        self.head = Linear(size.width, patch * patch * 3)
        self.register_buffer("table", positions(size.width, grid), persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Decode tokens [B, C, h, w] to the head's output [B, 3, h * patch, w * patch], float32."""
        x = self.embed(tokens.flatten(2).mT)  # [B, N, D]
        x = torch.cat([self.class_token.expand(len(x), -1, -1), x], dim=1) + self.table.to(x.dtype)
        for block in self.blocks:
            x = block(x)
        patches = self.head(self.norm(x))[:, 1:].float()  # [B, N, p p 3]
        return unpatched(patches, tokens.shape[-1], self.patch)


def unpatched(patches: Tensor, grid: int, patch: int) -> Tensor:
    """Assemble patches [B, N, p * p * 3] to images [B, 3, H, W]. Within a patch, the channel is the last axis.

    Args:
        patches: The patches, row-major.
        grid: Number of patches in a row.
        patch: Side of a patch in pixels.
    """
    cells = patches.reshape(len(patches), -1, grid, patch, patch, 3)  # [B, h, w, p, q, 3]
    return cells.permute(0, 5, 1, 3, 2, 4).flatten(4, 5).flatten(2, 3)
