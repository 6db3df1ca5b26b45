"""Inception-v3 of FID and the Inception score: the TensorFlow graph of 2015-12-05 (arXiv 1512.00567).

Differences from torchvision: average pools exclude the padding, the last block pools by maximum, and there are 1008
classes. Layers are named as in the published files of weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nanogen_fidelity.resizing import tf1_bilinear

SIDE, WIDTH, CLASSES = 299, 2048, 1008
EPS = 1e-3  # of the batch normalisations

Kernel = int | tuple[int, int]
Layer = tuple[str, int, Kernel]  # name suffix, output channels, kernel
Branches = Mapping[str, Sequence[Layer]]


def branches_a() -> Branches:
    return {
        "branch1x1": [("", 64, 1)],
        "branch5x5": [("_1", 48, 1), ("_2", 64, 5)],
        "branch3x3dbl": [("_1", 64, 1), ("_2", 96, 3), ("_3", 96, 3)],
    }


def branches_b() -> Branches:
    return {"branch3x3": [("", 384, 3)], "branch3x3dbl": [("_1", 64, 1), ("_2", 96, 3), ("_3", 96, 3)]}


def branches_c(width: int) -> Branches:
    across, down = (1, 7), (7, 1)
    double: Sequence[Layer] = [
        ("_1", width, 1),
        ("_2", width, down),
        ("_3", width, across),
        ("_4", width, down),
        ("_5", 192, across),
    ]
    return {
        "branch1x1": [("", 192, 1)],
        "branch7x7": [("_1", width, 1), ("_2", width, across), ("_3", 192, down)],
        "branch7x7dbl": double,
    }


def branches_d() -> Branches:
    seven: Sequence[Layer] = [("_1", 192, 1), ("_2", 192, (1, 7)), ("_3", 192, (7, 1)), ("_4", 192, 3)]
    return {"branch3x3": [("_1", 192, 1), ("_2", 320, 3)], "branch7x7x3": seven}


def branches_e() -> Branches:
    """Return the branches of the last two blocks. The outputs of the parallel layers `a` and `b` are concatenated."""
    across, down = (1, 3), (3, 1)
    return {
        "branch1x1": [("", 320, 1)],
        "branch3x3": [("_1", 384, 1), ("_2a", 384, across), ("_2b", 384, down)],
        "branch3x3dbl": [("_1", 448, 1), ("_2", 384, 3), ("_3a", 384, across), ("_3b", 384, down)],
    }


def average(x: Tensor) -> Tensor:
    """3 x 3 average pool that excludes the padding."""
    return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


def maximum(x: Tensor) -> Tensor:
    return F.max_pool2d(x, 3, stride=1, padding=1)


def halve(x: Tensor) -> Tensor:
    return F.max_pool2d(x, 3, stride=2)


class Convolution(nn.Module):
    """Convolution, batch normalisation, ReLU."""

    def __init__(self, before: int, after: int, kernel: Kernel, *, stride: int = 1, padding: Kernel = 0):
        super().__init__()
        self.conv = nn.Conv2d(before, after, kernel, stride=stride, padding=padding, bias=False)
        self.bn = nn.BatchNorm2d(after, eps=EPS)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)), inplace=True)


class Mixed(nn.Module):
    """Parallel branches and a pool, concatenated.

    With `pool=halve`, the pool and the last layer of each branch halve the resolution. Otherwise a 1 x 1 convolution of
    `pool_width` channels follows the pool.
    """

    def __init__(
        self, before: int, branches: Branches, pool: Callable[[Tensor], Tensor] = halve, pool_width: int | None = None
    ):
        super().__init__()
        self.pool = pool
        self.chains = [self._chain(name, layers, before, halving=pool is halve) for name, layers in branches.items()]
        self.branch_pool = Convolution(before, pool_width, 1) if pool_width else nn.Identity()

    def _chain(self, name: str, layers: Sequence[Layer], before: int, *, halving: bool) -> list[list[str]]:
        """Add the layers of a branch. Returns their names step by step; parallel layers share a step."""
        steps: list[list[str]] = []
        for suffix, width, kernel in layers:
            last = halving and (suffix, width, kernel) == layers[-1]
            parallel = suffix.endswith("b")
            if not parallel:
                steps.append([])
            self.add_module(name + suffix, _layer(before, width, kernel, halving=last))
            steps[-1].append(name + suffix)
            before = before if suffix.endswith("a") else width
        return steps

    def forward(self, x: Tensor) -> Tensor:
        branches = [self._along(chain, x) for chain in self.chains]
        return torch.cat([*branches, self.branch_pool(self.pool(x))], dim=1)

    def _along(self, chain: Sequence[Sequence[str]], x: Tensor) -> Tensor:
        for names in chain:
            x = torch.cat([self.get_submodule(name)(x) for name in names], dim=1)
        return x


def _layer(before: int, width: int, kernel: Kernel, *, halving: bool) -> Convolution:
    """Return a layer that keeps the resolution by padding, or halves it without padding."""
    if halving:
        return Convolution(before, width, kernel, stride=2)
    sides = (kernel, kernel) if isinstance(kernel, int) else kernel
    return Convolution(before, width, kernel, padding=(sides[0] // 2, sides[1] // 2))


class ForwardPass(NamedTuple):
    """The outputs of Inception-v3."""

    pool: Tensor  # [B, 2048]
    logits: Tensor  # [B, 1008], without the bias, as the Inception score uses them


class InceptionNetwork(nn.Module):
    """Inception-v3, frozen and in evaluation mode."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = Convolution(3, 32, 3, stride=2)
        self.Conv2d_2a_3x3 = Convolution(32, 32, 3)
        self.Conv2d_2b_3x3 = Convolution(32, 64, 3, padding=1)
        self.Conv2d_3b_1x1 = Convolution(64, 80, 1)
        self.Conv2d_4a_3x3 = Convolution(80, 192, 3)
        self.Mixed_5b = Mixed(192, branches_a(), average, 32)
        self.Mixed_5c = Mixed(256, branches_a(), average, 64)
        self.Mixed_5d = Mixed(288, branches_a(), average, 64)
        self.Mixed_6a = Mixed(288, branches_b())
        self.Mixed_6b = Mixed(768, branches_c(128), average, 192)
        self.Mixed_6c = Mixed(768, branches_c(160), average, 192)
        self.Mixed_6d = Mixed(768, branches_c(160), average, 192)
        self.Mixed_6e = Mixed(768, branches_c(192), average, 192)
        self.Mixed_7a = Mixed(768, branches_d())
        self.Mixed_7b = Mixed(1280, branches_e(), average, 192)
        self.Mixed_7c = Mixed(2048, branches_e(), maximum, 192)
        self.fc = nn.Linear(WIDTH, CLASSES)
        self.eval().requires_grad_(False)

    def forward(self, pixels: Tensor) -> ForwardPass:
        """Map uint8 images [B, 3, H, W] to pooled features and logits, float32."""
        x = (tf1_bilinear(pixels.float(), (SIDE, SIDE)) - 128) / 128
        x = halve(self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x))))  # [B, 64, 73, 73]
        x = halve(self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x)))  # [B, 192, 35, 35]
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(x)))  # [B, 288, 35, 35]
        x = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))))  # [B, 768, 17, 17]
        pool = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x))).mean(dim=(2, 3))  # [B, 2048]
        return ForwardPass(pool, pool @ self.fc.weight.T)
