"""A small convolutional decoder for laptops: it learns drawings in minutes, where a ViT takes hours."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nanogen_core.errors import Incompatible

EPS = 1e-6


class Norm(nn.Module):
    """RMS norm over the channels of each cell."""

    def __init__(self, channels: int):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]."""
        scale = (x.float().square().mean(dim=1, keepdim=True) + EPS).rsqrt()
        return x * scale.to(x.dtype) * self.gain.to(x.dtype)[:, None, None]


class Block(nn.Module):
    """x + conv(silu(conv(norm(x)))), which starts as the identity."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm = Norm(channels)
        self.inner = nn.Conv2d(channels, channels, 3, padding=1)
        self.outer = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.outer.weight)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]."""
        moved: Tensor = x + self.outer(F.silu(self.inner(self.norm(x))))
        return moved


class Up(nn.Module):
    """Twice the resolution: channels move to pixels."""

    def __init__(self, channels: int, out: int):
        super().__init__()
        self.mix = nn.Conv2d(channels, out * 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, out, 2 H, 2 W]."""
        return F.pixel_shuffle(self.mix(x), 2)


class ConvDecoder(nn.Module):
    """Tokens of `channels` numbers, each of which becomes `patch` x `patch` pixels: a power of two of at least 2.

    One width for each resolution but the last; where there are fewer widths than resolutions the last one goes on.
    """

    def __init__(self, channels: int, patch: int, widths: Sequence[int]):
        super().__init__()
        ups = patch.bit_length() - 1
        if patch != 1 << ups or not ups:
            raise Incompatible(f"The decoder 'tiny' writes patches of 2, 4, 8 or 16 pixels, not of {patch}.")
        wide = [widths[min(level, len(widths) - 1)] for level in range(ups)]
        self.embed = nn.Conv2d(channels, wide[0], 3, padding=1)
        layers: list[nn.Module] = [Block(wide[0]), Block(wide[0])]
        for before, after in pairwise(wide):
            layers += [Up(before, after), Block(after)]
        self.body = nn.Sequential(*layers, Norm(wide[-1]))
        self.head = nn.Conv2d(wide[-1], 3 * 4, 3, padding=1)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens [B, C, h, w] -> what the head writes [B, 3, h * patch, w * patch], float32."""
        return F.pixel_shuffle(self.head(self.body(self.embed(tokens))), 2).float() + 0.5
