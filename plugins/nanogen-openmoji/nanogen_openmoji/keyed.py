"""Random numbers keyed by (seed, purpose, index), so that image 7 is the same in any batch, order or process.

A counter-based generator: SplitMix64 (Steele, Lea and Flood 2014) hashes the key, vectorised in int64.
"""

import zlib

import torch
from torch import Tensor

GOLDEN = -7046029254386353131  # 0x9E3779B97F4A7C15 as a signed number, as the two below
FIRST, SECOND = -4658895280553007687, -7723592293110705685


def uniform(seed: int, purpose: str, indices: Tensor, columns: int) -> Tensor:
    """Independent uniform numbers for each index.

    Args:
        seed: any integer of 63 bits.
        purpose: a word that keeps the numbers of two uses apart.
        indices: [B] integers.
        columns: how many numbers each index needs.

    Returns:
        [B, columns] float32 in [0, 1), in steps of 2**-24; a pure function of (seed, purpose, index, column).
    """
    return (bits(seed, purpose, indices, columns) & 0xFFFFFF).float() / 2**24


def bits(seed: int, purpose: str, indices: Tensor, columns: int) -> Tensor:
    """As `uniform`, but [B, columns] int64 of 64 random bits."""
    stream = _mix(_mix(torch.tensor(seed)) ^ zlib.crc32(purpose.encode()))
    image = _mix(stream ^ _mix(indices.long()))  # [B]
    return _mix(image[:, None] + GOLDEN * torch.arange(1, columns + 1))  # [B, columns]


def _mix(x: Tensor) -> Tensor:
    x = (x ^ _shift(x, 30)) * FIRST
    x = (x ^ _shift(x, 27)) * SECOND
    return x ^ _shift(x, 31)


def _shift(x: Tensor, n: int) -> Tensor:
    return (x >> n) & ((1 << (64 - n)) - 1)  # the logical shift: int64's own one copies the sign
