"""Embeddings of latents, times, labels and captions, and the output layers."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from benchmarks.plain.layers import RMSNorm


class Captions(NamedTuple):
    """Hidden states of captions, padded to the full length, and their mask: False at padding."""

    states: Tensor  # [B, L, D]
    mask: Tensor  # [B, L]


class Patches(nn.Module):
    def __init__(self, channels: int, width: int, patch: int):
        super().__init__()
        self.proj = nn.Conv2d(channels, width, patch, patch)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x).flatten(2).transpose(1, 2)


def unpatchify(x: Tensor, patch: int, grid: int) -> Tensor:
    """Assemble tokens [B, grid * grid, patch * patch * C] into latents [B, C, grid * patch, grid * patch]."""
    x = x.reshape(len(x), grid, grid, patch, patch, -1).permute(0, 5, 1, 3, 2, 4)
    return x.reshape(len(x), -1, grid * patch, grid * patch)


class Time(nn.Module):
    def __init__(self, width: int, tokens: int):
        super().__init__()
        self.register_buffer("W", torch.randn(256))
        self.mlp = nn.Sequential(nn.Linear(512, width), nn.SiLU(), nn.Linear(width, width))
        self.learnable_tokens = nn.Parameter(torch.randn(tokens, width) * 0.02)

    def forward(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Return the embedding [B, 1, width] and the tokens."""
        angle = 2 * math.pi * t[:, None] * self.W[None]
        embedding = self.mlp(torch.cat([torch.sin(angle), torch.cos(angle)], dim=-1))[:, None]
        return embedding, self.learnable_tokens[None] + embedding


class Label(nn.Module):
    def __init__(self, classes: int, width: int):
        super().__init__()
        self.length = 8
        self.embedding_table = nn.Embedding(classes + 1, width)
        self.learnable_tokens = nn.Parameter(torch.randn(self.length, width) * 0.02)

    def forward(self, label: Tensor) -> tuple[Tensor, Tensor]:
        """Return the tokens and their mask."""
        tokens = self.learnable_tokens[None] + self.embedding_table(label)[:, None]
        return tokens, torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)

    def dropped(self, label: Tensor, rows: Tensor) -> Tensor:
        """Replace the labels of `rows` [B] by the null class."""
        return torch.where(rows, self.embedding_table.num_embeddings - 1, label)


class Text(nn.Module):
    def __init__(self, inputs: int, width: int, length: int):
        super().__init__()
        self.length = length
        self.norm, self.proj = RMSNorm(inputs), nn.Linear(inputs, width)

    def forward(self, captions: Captions) -> tuple[Tensor, Tensor]:
        """Return the tokens and their mask."""
        return self.proj(self.norm(captions.states)), captions.mask

    def dropped(self, captions: Captions, rows: Tensor) -> Captions:
        """Replace the captions of `rows` [B] by the empty text, all of whose tokens are masked."""
        return Captions(torch.where(rows[:, None, None], 0, captions.states), captions.mask & ~rows[:, None])


class Head(nn.Module):
    def __init__(self, width: int, outputs: int):
        super().__init__()
        self.norm_final, self.linear = RMSNorm(width), nn.Linear(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.norm_final(x))


class AdaLNHead(nn.Module):
    def __init__(self, width: int, outputs: int):
        super().__init__()
        self.norm, self.linear = RMSNorm(width), nn.Linear(width, outputs)
        self.adaln_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * width))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        shift, scale = self.adaln_modulation(condition).chunk(2, dim=-1)
        return self.linear(self.norm(x) * (1 + scale) + shift)
