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


SIZES: Mapping[str, Size] = {
    "tiny": Size(192, 4, 3, 768),  # for laptops
    "B": Size(768, 12, 12, 3072),
    "L": Size(1024, 24, 16, 4096),
    "XL": Size(1152, 28, 16, 4096),
}
