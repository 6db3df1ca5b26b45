"""The decoders' sizes as a table. Loads no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Size(NamedTuple):
    """Of a ViT-MAE style decoder."""

    width: int
    depth: int
    heads: int
    hidden: int  # of the MLP


#: Of the convolutional decoder: its widths, one for each resolution from that of the tokens on.
CONV_SIZES: Mapping[str, tuple[int, ...]] = {"tiny": (96, 64, 32)}

SIZES: Mapping[str, Size] = {
    "B": Size(768, 12, 12, 3072),
    "L": Size(1024, 24, 16, 4096),
    "XL": Size(1152, 28, 16, 4096),
}
