"""Small convolutional decoder for laptops. It learns drawings in minutes, where the ViT decoder takes hours."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nanogen_core.errors import Incompatible

EPS = 1e-6


class Norm(nn.Module):
    """RMSNorm over the channels of a feature map."""

    def __init__(self, channels: int):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise a feature map [B, C, H, W]."""
        scale = (x.float().square().mean(dim=1, keepdim=True) + EPS).rsqrt()
        return x * scale.to(x.dtype) * self.gain.to(x.dtype)[:, None, None]


class Block(nn.Module):
    """Residual block `x + conv(silu(conv(norm(x))))`. The weight of the outer convolution is initialised to zero."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm = Norm(channels)
        self.inner = nn.Conv2d(channels, channels, 3, padding=1)
        self.outer = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.outer.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Map a feature map [B, C, H, W] to [B, C, H, W]."""
        out: Tensor = x + self.outer(F.silu(self.inner(self.norm(x))))
        return out


class Up(nn.Module):
    """Upsampling by 2: a 1 x 1 convolution, then pixel shuffle."""

    def __init__(self, channels: int, out: int):
        super().__init__()
        self.mix = nn.Conv2d(channels, out * 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map a feature map [B, C, H, W] to [B, out, 2 H, 2 W]."""
        return F.pixel_shuffle(self.mix(x), 2)


class ConvDecoder(nn.Module):
    """Convolutional decoder from tokens to pixels.

    Args:
        channels: Width of the tokens.
        patch: Side of a token's patch in pixels. It must be a power of two of at least 2.
        widths: Number of channels at each resolution, from the token grid to half the resolution of the image. The last
            number repeats if there are more resolutions.

    Raises:
        Incompatible: `patch` is not a power of two of at least 2.
    """

    def __init__(self, channels: int, patch: int, widths: Sequence[int]):
        super().__init__()
        ups = patch.bit_length() - 1
        if patch != 1 << ups or not ups:
            raise Incompatible(
                f"The patch side of the decoder 'tiny' must be a power of two of at least 2 pixels, got {patch}. Choose"
                " another `tokenizer.decoder.size`, encoder or image size."
            )
        level_widths = [widths[min(level, len(widths) - 1)] for level in range(ups)]
        self.embed = nn.Conv2d(channels, level_widths[0], 3, padding=1)
        layers: list[nn.Module] = [Block(level_widths[0]), Block(level_widths[0])]
        for before, after in pairwise(level_widths):
            layers += [Up(before, after), Block(after)]
        self.body = nn.Sequential(*layers, Norm(level_widths[-1]))
        self.head = nn.Conv2d(level_widths[-1], 3 * 4, 3, padding=1)

    def forward(self, tokens: Tensor) -> Tensor:
        """Decode tokens [B, C, h, w] to the head's output [B, 3, h * patch, w * patch], float32."""
        return F.pixel_shuffle(self.head(self.body(self.embed(tokens))), 2).float() + 0.5
