"""The few layers that the small networks here are made of; all maps are [B, C, H, W]."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Conv(nn.Module):
    """A convolution that keeps the size, its weight stored as a matrix [out, in * k * k], as Muon wants it."""

    def __init__(self, channels: int, out: int, kernel: int = 3, *, gain: float = 1.0) -> None:
        super().__init__()
        self.shape = (out, channels, kernel, kernel)
        bound = gain * math.sqrt(3 / (channels * kernel * kernel))
        self.weight = nn.Parameter(torch.empty(out, channels * kernel * kernel).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(out))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight.view(self.shape), self.bias, padding=self.shape[-1] // 2)


class PixelNorm(nn.Module):
    """RMS norm over the channels of each pixel: as good here as GroupNorm and several times quicker on a CPU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        scale = (x.float().square().mean(dim=1, keepdim=True) + 1e-6).rsqrt()  # [B, 1, H, W]
        return x * scale.to(x.dtype) * self.gain.to(x.dtype)[:, None, None]


class Block(nn.Module):
    """A residual block before its norm (He et al. 2016, "Identity mappings"); the second convolution starts small."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = PixelNorm(channels)
        self.inner = Conv(channels, channels)
        self.outer = Conv(channels, channels, gain=0.1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.outer(F.silu(self.inner(self.norm(x))))


class Down(nn.Module):
    """Half (or less) the resolution: pixels move to channels, then a convolution mixes them."""

    def __init__(self, channels: int, out: int, *, by: int = 2, kernel: int = 1) -> None:
        super().__init__()
        self.by = by
        self.mix = Conv(channels * by * by, out, kernel)

    def forward(self, x: Tensor) -> Tensor:
        return self.mix(F.pixel_unshuffle(x, self.by))


class Up(nn.Module):
    """Twice the resolution: a convolution makes channels, which move to pixels."""

    def __init__(self, channels: int, out: int, *, kernel: int = 1) -> None:
        super().__init__()
        self.mix = Conv(channels, out * 4, kernel)

    def forward(self, x: Tensor) -> Tensor:
        return F.pixel_shuffle(self.mix(x), 2)


def parameter_count(network: nn.Module) -> int:
    """How many numbers training can change."""
    return sum(parameter.numel() for parameter in network.parameters())
