"""Counter-based random numbers: a pure function of (seed, purpose, index), independent of batches and processes.

The key is hashed by SplitMix64 (Steele, Lea and Flood, 2014), vectorised in int64.
"""

from __future__ import annotations

import zlib

import torch
from torch import Tensor

GOLDEN = -7046029254386353131  # 0x9E3779B97F4A7C15 as a signed integer
FIRST, SECOND = -4658895280553007687, -7723592293110705685  # multipliers of SplitMix64, as signed integers


def uniform(seed: int, purpose: str, indices: Tensor, columns: int) -> Tensor:
    """Draw independent uniform numbers for each index.

    Args:
        seed: An integer of 63 bits.
        purpose: A word that makes the numbers of different uses independent.
        indices: [B] integers.
        columns: Numbers per index.

    Returns:
        [B, columns] float32 in [0, 1), in steps of 2**-24.
    """
    return (bits(seed, purpose, indices, columns) & 0xFFFFFF).float() / 2**24


def bits(seed: int, purpose: str, indices: Tensor, columns: int) -> Tensor:
    """Draw uniform int64 numbers [B, columns]. Arguments as for `uniform`."""
    stream = _mix(_mix(torch.tensor(seed)) ^ zlib.crc32(purpose.encode()))
    image = _mix(stream ^ _mix(indices.long()))  # [B]
    return _mix(image[:, None] + GOLDEN * torch.arange(1, columns + 1))  # [B, columns]


def _mix(x: Tensor) -> Tensor:
    x = (x ^ _shift(x, 30)) * FIRST
    x = (x ^ _shift(x, 27)) * SECOND
    return x ^ _shift(x, 31)


def _shift(x: Tensor, n: int) -> Tensor:
    return (x >> n) & ((1 << (64 - n)) - 1)  # logical shift; `>>` on int64 is arithmetic
