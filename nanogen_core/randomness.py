"""Random numbers from a key, without global state.

The key is (seed, purpose, step) and the sample's slot in the global batch, or its index in a request. The numbers are
therefore the same for any batch size and any number of processes, and after a resume.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from hashlib import blake2b

import torch
from torch import Tensor

from nanogen_core.splitmix import splitmix

WORD = 1 << 32


def key(*words: object) -> int:
    """A 32-bit number that depends on every word and on their order."""
    return _hash(words, 4)


class KeyedRNG:
    """The random numbers of the samples in `slots` at one step: equal for equal (seed, step, slot, purpose).

    The number of tensor operations of a draw does not depend on the number of slots. The random bits are equal on
    every device; normal numbers agree to float32 rounding.
    """

    def __init__(self, seed: int, slots: Sequence[int], *, step: int = 0, device: torch.device | str = "cpu"):
        self.seed = seed
        self.slots = tuple(int(slot) for slot in slots)
        self.step = step
        self.device = torch.device(device)

    def normal(self, purpose: str, shape: Sequence[int]) -> Tensor:
        """Standard normal numbers, float32, `[len(slots), *shape]`, by Box and Muller. None exceeds 6.7."""
        first, second = self._words(purpose, shape)
        radius = first.float().add_(1).mul_(1 / WORD).log_().mul_(-2).sqrt_()
        angle = second.float().mul_(2 * math.pi / WORD)
        return self._rows(radius * angle.cos(), radius * angle.sin(), shape)

    def uniform(self, purpose: str, shape: Sequence[int] = ()) -> Tensor:
        """Uniform numbers in [0, 1), float32 multiples of 2**-24, `[len(slots), *shape]`."""
        words = self._words(purpose, shape)
        first, second = (word.bitwise_right_shift(8).float().mul_(2**-24) for word in words)
        return self._rows(first, second, shape)

    def shared_uniform(self, purpose: str) -> float:
        """One uniform number in [0, 1) for the whole step: the same in every slot and on every process."""
        return key(self.seed, purpose, self.step, "shared") / WORD

    def _words(self, purpose: str, shape: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Two random words below 2**32 for each pair of numbers, `[len(slots), pairs]` each."""
        seed = torch.tensor(_hash((self.seed, purpose, self.step), 8) - (1 << 63), device=self.device)
        slots = torch.tensor(self.slots, dtype=torch.int64, device=self.device)
        pairs = torch.arange(-(-math.prod(shape) // 2), device=self.device)
        words = splitmix(splitmix(seed, slots)[:, None], pairs)
        return words.bitwise_right_shift(32).bitwise_and_(WORD - 1), words.bitwise_and_(WORD - 1)

    def _rows(self, first: Tensor, second: Tensor, shape: Sequence[int]) -> Tensor:
        """Numbers in pairs as rows `[len(slots), *shape]`, without the surplus of an odd count."""
        rows = torch.stack((first, second), dim=-1).flatten(1)[:, : math.prod(shape)]
        return rows.reshape(len(self.slots), *shape)


def _hash(words: Sequence[object], size: int) -> int:
    text = "\x1f".join(map(str, words)).encode()
    return int.from_bytes(blake2b(text, digest_size=size).digest(), "little")
