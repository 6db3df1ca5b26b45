"""TF32 on NVIDIA GPUs: float32 products with a 10-bit mantissa, several times faster than in full precision."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


def set_tf32(enabled: bool) -> bool:
    """Allow or forbid TF32 in matrix products and convolutions. Returns whether it was allowed in products before."""
    before = torch.get_float32_matmul_precision() != "highest"
    torch.set_float32_matmul_precision("high" if enabled else "highest")
    torch.backends.cudnn.allow_tf32 = enabled
    return before


@contextmanager
def tf32(enabled: bool) -> Iterator[None]:
    """Allow or forbid TF32 in the block."""
    before = set_tf32(enabled)
    try:
        yield
    finally:
        set_tf32(before)
