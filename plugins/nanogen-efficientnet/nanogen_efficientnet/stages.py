"""Table of the stages of EfficientNet-Lite0. Does not import torch."""

from __future__ import annotations

from typing import NamedTuple

STEM, HEAD = 32, 1280  # widths of the first and the last convolution


class Stage(NamedTuple):
    """Consecutive blocks of equal width. The first block has the stride of the stage."""

    blocks: int
    kernel: int
    stride: int
    expansion: int
    width: int


STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)


class Output(NamedTuple):
    """Shape of a block's output."""

    width: int
    stride: int  # input pixels along one side of a cell


def _outputs() -> tuple[Output, ...]:
    found, stride = [], 2  # the stride of the stem
    for stage in STAGES:
        stride *= stage.stride
        found += [Output(stage.width, stride)] * stage.blocks
    return tuple(found)


OUTPUTS = _outputs()  #: of the 16 blocks
