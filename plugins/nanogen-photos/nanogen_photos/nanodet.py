"""NanoDet-g (RangiLyu/nanodet): a convolutional detector of COCO's 80 classes with 3.8 million parameters."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SIDE = 416  # of the network's input in pixels
STRIDES = (8, 16, 32)
CLASSES = 80
BINS = 11  # of the distribution of a box side's distance, in units of the stride
WIDTH = 128  # of the feature pyramid
SLOPE = 0.1  # of every leaky ReLU


class Conv(nn.Conv2d):
    """3 x 3 convolution with zero padding, followed by a leaky ReLU."""

    def __init__(self, channels: int, width: int, *, stride: int = 1):
        super().__init__(channels, width, 3, stride=stride, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map a feature map [B, C, H, W] to [B, width, ceil(H / stride), ceil(W / stride)]."""
        return F.leaky_relu(super().forward(x), SLOPE, inplace=True)


class CSPBlock(nn.Module):
    """Cross-stage partial block (arXiv 1911.11929): `depth` pairs of convolutions and a skip connection.

    Args:
        channels: Width of the input. The output has twice that width.
        depth: Number of pairs.
        stride: Stride of the first convolution.
    """

    def __init__(self, channels: int, depth: int, stride: int):
        super().__init__()
        half = channels // 2
        self.down = Conv(channels, channels, stride=stride)
        self.reduce = nn.ModuleList(Conv(channels, half) for _ in range(depth))
        self.inner = nn.ModuleList(Conv(half, half) for _ in range(depth))
        self.out = Conv(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map a feature map [B, C, H, W] to [B, 2 C, ceil(H / stride), ceil(W / stride)]."""
        skip = x = self.down(x)
        for reduce, inner in zip(self.reduce, self.inner, strict=True):
            reduced = reduce(x)
            x = torch.cat([inner(reduced), reduced], dim=1)
        return torch.cat([self.out(x), skip], dim=1)


class Head(nn.Module):
    """Predicts the logits of classes and box distances for each cell of one level of the feature pyramid."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = Conv(WIDTH, WIDTH)
        self.out = nn.Conv2d(WIDTH, CLASSES + 4 * BINS, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map a feature map [B, 128, H, W] to class and distance logits [B, H W, 80 + 44]."""
        y: Tensor = self.out(self.hidden(x))
        return y.flatten(2).mT


class NanoDet(nn.Module):
    """NanoDet-g for inference: every batch normalisation is folded into the convolution before it."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = Conv(3, 32, stride=2)
        stages = ((32, 1, 1), (64, 2, 2), (128, 2, 2), (256, 3, 2))  # width, depth, stride
        self.stages = nn.ModuleList(CSPBlock(*stage) for stage in stages)
        self.lateral = nn.ModuleList(nn.Conv2d(width, WIDTH, 1) for width in (128, 256, 512))
        self.heads = nn.ModuleList(Head() for _ in STRIDES)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Detect objects in each of N = 52^2 + 26^2 + 13^2 cells.

        Args:
            pixels: [B, 3, 416, 416], normalised by `detector.normalised`.

        Returns:
            Class scores [B, N, 80] in [0, 1], and logits [B, N, 4, 11] of the distances of the box sides, see `decode`.
        """
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        x = F.max_pool2d(self.stem(pixels), 3, stride=2, padding=1)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        outputs = torch.cat([head(x) for head, x in zip(self.heads, self._pyramid(maps[1:]), strict=True)], dim=1)
        return outputs[..., :CLASSES].sigmoid(), outputs[..., CLASSES:].reshape(*outputs.shape[:2], 4, BINS)

    def _pyramid(self, maps: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Path aggregation (arXiv 1803.01534): from coarse to fine and back, by bilinear resizing and addition."""
        fine, middle, coarse = (lateral(x) for lateral, x in zip(self.lateral, maps, strict=True))
        middle = middle + _resized(coarse, 2.0)
        fine = fine + _resized(middle, 2.0)
        middle = middle + _resized(fine, 0.5)
        return fine, middle, coarse + _resized(middle, 0.5)


def decode(distances: Tensor) -> Tensor:
    """Compute boxes from the network's distributions (generalised focal loss, arXiv 2006.04388).

    Args:
        distances: Logits [B, N, 4, 11] of the distances from each cell's centre to the left, top, right, bottom side.

    Returns:
        Boxes [B, N, 4] as x1, y1, x2, y2 in pixels of the network's input.
    """
    sides = distances.softmax(-1) @ torch.arange(BINS, dtype=distances.dtype, device=distances.device)  # [B, N, 4]
    centres, strides = (x.to(distances) for x in _cells())
    sides = sides * strides[:, None]
    return torch.cat([centres - sides[..., :2], centres + sides[..., 2:]], dim=-1).clamp(0, SIDE)


def _cells() -> tuple[Tensor, Tensor]:
    """Return the centres [N, 2] as x, y and the strides [N] of all cells."""
    centres, strides = [], []
    for stride in STRIDES:
        along = (torch.arange(SIDE // stride) + 0.5) * stride
        y, x = torch.meshgrid(along, along, indexing="ij")
        centres.append(torch.stack([x.flatten(), y.flatten()], dim=1))
        strides.append(torch.full((len(along) ** 2,), float(stride)))
    return torch.cat(centres), torch.cat(strides)


def _resized(x: Tensor, scale: float) -> Tensor:
    return F.interpolate(x, scale_factor=scale, mode="bilinear", align_corners=False)
