"""EfficientNet-Lite0: an EfficientNet (arXiv 1905.11946) without squeeze-and-excitation, with ReLU6."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nanogen_efficientnet.stages import HEAD, STAGES, STEM, Stage

CLASSES = 1000


class Conv(nn.Conv2d):
    """Convolution with TensorFlow's padding "SAME", whose larger half is at the bottom and the right."""

    def __init__(self, channels: int, width: int, kernel: int, *, stride: int = 1, groups: int = 1):
        super().__init__(channels, width, kernel, stride=stride, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        """Map a feature map [B, C, H, W] to [B, D, ceil(H / stride), ceil(W / stride)]."""
        (top, bottom), (left, right) = (self._padding(side) for side in x.shape[-2:])
        if top == bottom and left == right:
            return F.conv2d(x, self.weight, self.bias, self.stride, (top, left), 1, self.groups)
        padded = F.pad(x, (left, right, top, bottom))
        return F.conv2d(padded, self.weight, self.bias, self.stride, 0, 1, self.groups)

    def _padding(self, side: int) -> tuple[int, int]:
        kernel, stride = self.kernel_size[0], self.stride[0]
        total = max(0, (-(-side // stride) - 1) * stride + kernel - side)
        return total // 2, total - total // 2


class MBConv(nn.Module):
    """Inverted residual block (arXiv 1801.04381): expansion, depthwise convolution, linear projection.

    Args:
        channels: Width of the input.
        stage: Kernel, expansion and width of the block.
        stride: Stride of the depthwise convolution.
    """

    def __init__(self, channels: int, stage: Stage, stride: int):
        super().__init__()
        inner = channels * stage.expansion
        self.expand = Conv(channels, inner, 1) if stage.expansion > 1 else None
        self.depthwise = Conv(inner, inner, stage.kernel, stride=stride, groups=inner)
        self.project = Conv(inner, stage.width, 1)
        self.is_residual = stride == 1 and channels == stage.width

    def forward(self, x: Tensor) -> Tensor:
        """Map a feature map [B, C, H, W] to [B, D, ceil(H / stride), ceil(W / stride)]."""
        inner = x if self.expand is None else F.relu6(self.expand(x), inplace=True)
        y: Tensor = self.project(F.relu6(self.depthwise(inner), inplace=True))
        return x + y if self.is_residual else y


class InvertedResidualNet(nn.Module):
    """Convolution with stride 2, stages of inverted residual blocks, and a 1 x 1 convolution, for inference.

    Every batch normalisation is part of the convolution before it.

    Args:
        stem: Width of the first convolution.
        stages: The stages.
        head: Width of the last convolution.
    """

    def __init__(self, stem: int, stages: Sequence[Stage], head: int):
        super().__init__()
        self.stem = Conv(3, stem, 3, stride=2)
        self.blocks = nn.ModuleList()
        channels = stem
        for stage in stages:
            for number in range(stage.blocks):
                self.blocks.append(MBConv(channels, stage, stage.stride if number == 0 else 1))
                channels = stage.width
        self.head = Conv(channels, head, 1)

    def maps(self, pixels: Tensor, block: int) -> Tensor:
        """Return the output of a block: [B, width, H / stride, W / stride].

        Args:
            pixels: [B, 3, H, W], in the range of the network.
            block: Number of the block, from 1.
        """
        # on a CPU twice as fast as the contiguous format
        x = F.relu6(self.stem(pixels.contiguous(memory_format=torch.channels_last)), inplace=True)
        for layer in self.blocks[:block]:
            x = layer(x)
        return x

    def pooled(self, pixels: Tensor) -> Tensor:
        """Map pixels [B, 3, H, W] to the mean of the last feature map [B, head]."""
        maps = F.relu6(self.head(self.maps(pixels, len(self.blocks))), inplace=True)
        return maps.mean(dim=(2, 3))


class EfficientNetLite0(InvertedResidualNet):
    """EfficientNet-Lite0. Pixels are `(p - 127) / 128` for p in 0 .. 255.

    `OUTPUTS` lists the width and stride of the 16 blocks. `pooled` returns the inputs of the last layer, [B, 1280].
    """

    def __init__(self) -> None:
        super().__init__(STEM, STAGES, HEAD)
        self.fc = nn.Linear(HEAD, CLASSES)

    def forward(self, pixels: Tensor) -> Tensor:
        """Map pixels [B, 3, H, W] to logits of ImageNet's classes [B, 1000]."""
        logits: Tensor = self.fc(self.pooled(pixels))
        return logits
