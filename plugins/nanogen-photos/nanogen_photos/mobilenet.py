"""MobileNetV2 (arXiv 1801.04381) as in Keras, from the input to the expansion of block 13."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nanogen_efficientnet.network import Conv, MBConv
from nanogen_efficientnet.stages import Stage

STEM, WIDTH = 32, 576  # widths of the first and the last convolution
STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(3, 3, 2, 6, 32),
    Stage(4, 3, 2, 6, 64),
    Stage(3, 3, 1, 6, 96),
)


class MobileNetV2(nn.Module):
    """MobileNetV2 for inference, without the layers after Keras's `block_13_expand_relu`.

    Every batch normalisation is part of the convolution before it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = Conv(3, STEM, 3, stride=2)
        self.blocks = nn.ModuleList()
        channels = STEM
        for stage in STAGES:
            for number in range(stage.blocks):
                self.blocks.append(MBConv(channels, stage, stage.stride if number == 0 else 1))
                channels = stage.width
        self.expand = Conv(channels, WIDTH, 1)

    def forward(self, pixels: Tensor) -> Tensor:
        """Map pixels [B, 3, H, W], `p / 127.5 - 1` for p in 0 .. 255, to the mean of the last feature map [B, 576]."""
        # on a CPU faster than the contiguous format
        x = F.relu6(self.stem(pixels.contiguous(memory_format=torch.channels_last)), inplace=True)
        for block in self.blocks:
            x = block(x)
        return F.relu6(self.expand(x), inplace=True).mean(dim=(2, 3))
