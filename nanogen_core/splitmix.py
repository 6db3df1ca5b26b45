"""SplitMix64, the generator of Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators".

Each output depends on its counter alone, so any number of outputs takes a fixed number of tensor operations. The words
are equal on every device.
"""

from __future__ import annotations

from torch import Tensor


def _signed(word: int) -> int:
    """The int64 with the bits of this 64-bit word."""
    return word - (1 << 64) if word >> 63 else word


GAMMA = _signed(0x9E3779B97F4A7C15)
FIRST, SECOND = _signed(0xBF58476D1CE4E5B9), _signed(0x94D049BB133111EB)


def splitmix(seeds: Tensor, counters: Tensor) -> Tensor:
    """Output number `counters` of the generators with these seeds.

    Args:
        seeds: int64, any bits.
        counters: int64 from 0 on, broadcast with the seeds.

    Returns:
        int64, of which all 64 bits are random.
    """
    words = seeds + (counters + 1) * GAMMA  # int64 arithmetic is modulo 2**64, as in the paper
    words = words.bitwise_xor_(_shifted(words, 30)).mul_(FIRST)
    words = words.bitwise_xor_(_shifted(words, 27)).mul_(SECOND)
    return words.bitwise_xor_(_shifted(words, 31))


def _shifted(words: Tensor, bits: int) -> Tensor:
    """A shift to the right that fills up with zeros; torch's own repeats the sign."""
    return words.bitwise_right_shift(bits).bitwise_and_((1 << 64 - bits) - 1)
