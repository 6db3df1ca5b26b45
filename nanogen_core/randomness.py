"""Counter-based random numbers without global state.

The numbers of a sample depend only on (seed, purpose, step, slot). The slot is the sample's position in the global
batch or in the list of requests, so numbers are equal for every batch size and number of processes, and after a resume.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from hashlib import blake2b

import torch
from torch import Tensor

WORD = 1 << 32


def key(*words: object) -> int:
    """Hash the words, in their order, to an unsigned 32-bit number."""
    return _hash(words, 4)


class KeyedRNG:
    """Random numbers of a batch of samples at one step.

    `KeyedRNG(seed=0, slots=range(8)).normal("noise", (4, 32, 32))` has shape [8, 4, 32, 32]. Row i depends only on the
    seed, `slots[i]`, the step and the purpose. Random bits are equal on every device; normal numbers agree to float32
    rounding.

    Args:
        seed: Seed of the training run or of `generate`.
        slots: Position of each sample in the global batch or in the list of requests.
        step: Training step; 0 for sampling.
        device: Device of the returned tensors.
    """

    def __init__(self, seed: int, slots: Sequence[int], *, step: int = 0, device: torch.device | str = "cpu"):
        self.seed = seed
        self.slots = tuple(int(slot) for slot in slots)
        self.step = step
        self.device = torch.device(device)

    def normal(self, purpose: str, shape: Sequence[int]) -> Tensor:
        """Return standard normal numbers [len(slots), *shape], float32, by the Box-Muller transform (|x| < 6.7).

        Equal purposes give equal numbers, so give every use its own `purpose`, such as "noise".
        """
        first, second = self._words(purpose, shape)
        radius = first.float().add_(1).mul_(1 / WORD).log_().mul_(-2).sqrt_()
        angle = second.float().mul_(2 * math.pi / WORD)
        return self._rows(radius * angle.cos(), radius * angle.sin(), shape)

    def uniform(self, purpose: str, shape: Sequence[int] = ()) -> Tensor:
        """Return uniform numbers in [0, 1), [len(slots), *shape], float32 multiples of 2**-24."""
        words = self._words(purpose, shape)
        first, second = (word.bitwise_right_shift(8).float().mul_(2**-24) for word in words)
        return self._rows(first, second, shape)

    def shared_uniform(self, purpose: str) -> float:
        """Return one uniform number in [0, 1) that all samples and processes share at this step."""
        return key(self.seed, purpose, self.step, "shared") / WORD

    def _words(self, purpose: str, shape: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return two int64 tensors [len(slots), pairs] of random words in [0, 2**32), one word pair per two numbers."""
        seed = torch.full((), _hash((self.seed, purpose, self.step), 8) - (1 << 63), device=self.device)
        slots = torch.tensor(self.slots, dtype=torch.int64).to(self.device, non_blocking=True)
        pairs = torch.arange(-(-math.prod(shape) // 2), device=self.device)
        words = splitmix(splitmix(seed, slots)[:, None], pairs)
        return words.bitwise_right_shift(32).bitwise_and_(WORD - 1), words.bitwise_and_(WORD - 1)

    def _rows(self, first: Tensor, second: Tensor, shape: Sequence[int]) -> Tensor:
        """Interleave two tensors [len(slots), pairs] into [len(slots), *shape]; an odd count drops the last number."""
        rows = torch.stack((first, second), dim=-1).flatten(1)[:, : math.prod(shape)]
        return rows.reshape(len(self.slots), *shape)


def _hash(words: Sequence[object], size: int) -> int:
    text = "\x1f".join(map(str, words)).encode()
    return int.from_bytes(blake2b(text, digest_size=size).digest(), "little")


def _signed(word: int) -> int:
    """Reinterpret an unsigned 64-bit word as int64."""
    return word - (1 << 64) if word >> 63 else word


GAMMA = _signed(0x9E3779B97F4A7C15)
FIRST, SECOND = _signed(0xBF58476D1CE4E5B9), _signed(0x94D049BB133111EB)


def splitmix(seeds: Tensor, counters: Tensor) -> Tensor:
    """Return the outputs at positions `counters` of SplitMix64 generators (Steele, Lea and Flood 2014).

    An output depends only on its seed and counter, so all outputs are computed at once. `seeds` and `counters` (>= 0)
    are int64 tensors that broadcast. All 64 bits of the returned int64 values are random.
    """
    words = seeds + (counters + 1) * GAMMA  # int64 arithmetic is modulo 2**64, as in the paper
    words = words.bitwise_xor_(_shifted(words, 30)).mul_(FIRST)
    words = words.bitwise_xor_(_shifted(words, 27)).mul_(SECOND)
    return words.bitwise_xor_(_shifted(words, 31))


def _shifted(words: Tensor, bits: int) -> Tensor:
    """Logical right shift (fills with zeros). torch's shift is arithmetic (repeats the sign bit)."""
    return words.bitwise_right_shift(bits).bitwise_and_((1 << 64 - bits) - 1)
