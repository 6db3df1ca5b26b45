"""Table of decoder sizes. Does not import torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Size(NamedTuple):
    """Size of a ViT decoder."""

    width: int
    depth: int
    heads: int
    hidden: int  # of the MLP


#: Channels of the convolutional decoder at each resolution, beginning with that of the tokens.
CONV_SIZES: Mapping[str, tuple[int, ...]] = {"tiny": (96, 64, 32)}

SIZES: Mapping[str, Size] = {
    "B": Size(768, 12, 12, 3072),
    "L": Size(1024, 24, 16, 4096),
    "XL": Size(1152, 28, 16, 4096),
}
