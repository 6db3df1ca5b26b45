"""MobileNetV2 (arXiv 1801.04381) as in Keras, from the input to the expansion of block 13."""

from __future__ import annotations

from torch import Tensor

from nanogen_efficientnet.network import InvertedResidualNet
from nanogen_efficientnet.stages import Stage

STEM, WIDTH = 32, 576  # widths of the first and the last convolution
STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(3, 3, 2, 6, 32),
    Stage(4, 3, 2, 6, 64),
    Stage(3, 3, 1, 6, 96),
)


class MobileNetV2(InvertedResidualNet):
    """MobileNetV2 without the layers after Keras's `block_13_expand_relu`."""

    def __init__(self) -> None:
        super().__init__(STEM, STAGES, WIDTH)

    def forward(self, pixels: Tensor) -> Tensor:
        """Map pixels [B, 3, H, W], `p / 127.5 - 1` for p in 0 .. 255, to the mean of the last feature map [B, 576]."""
        return self.pooled(pixels)
