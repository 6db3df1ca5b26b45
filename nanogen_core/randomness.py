"""Random numbers keyed by what they are for, never taken from a global state.

A draw depends on (seed, purpose, step) and on the sample's slot in the global batch or its index in a request: the
same numbers come out for another batch size, another number of processes, after a resume, or with an evaluation in
between.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

import torch
from torch import Tensor

_SEEDS = 1 << 32  # the CPU generator of torch reads the low 32 bits of a seed


def key(*words: object) -> int:
    """A 32-bit number that depends on every word and on their order."""
    text = "\x1f".join(map(str, words)).encode()
    return int.from_bytes(blake2b(text, digest_size=4).digest(), "little")


class Draws:
    """The random numbers of the samples in `slots` at one step: equal for equal (seed, step, slot, purpose)."""

    def __init__(self, seed: int, slots: Sequence[int], *, step: int = 0, device: torch.device | str = "cpu"):
        self.seed = seed
        self.slots = tuple(int(slot) for slot in slots)
        self.step = step
        self.device = torch.device(device)
        self._generator = torch.Generator(self.device)

    def normal(self, purpose: str, shape: Sequence[int]) -> Tensor:
        """Standard normal numbers, float32, `[len(slots), *shape]`."""
        return self._rows(purpose, shape, Tensor.normal_)

    def uniform(self, purpose: str, shape: Sequence[int] = ()) -> Tensor:
        """Uniform numbers in [0, 1), float32, `[len(slots), *shape]`."""
        return self._rows(purpose, shape, Tensor.uniform_)

    def shared_uniform(self, purpose: str) -> float:
        """One uniform number in [0, 1) for the whole step: the same in every slot and on every process."""
        self._generator.manual_seed(key(self.seed, purpose, self.step, "shared"))
        return float(torch.rand((), generator=self._generator, device=self.device))

    def _rows(self, purpose: str, shape: Sequence[int], fill: object) -> Tensor:
        base = key(self.seed, purpose, self.step)  # slots are added, not hashed: within a step no two collide
        numbers = torch.empty(len(self.slots), *shape, device=self.device)
        for row, slot in zip(numbers, self.slots, strict=True):
            self._generator.manual_seed((base + slot) % _SEEDS)
            fill(row, generator=self._generator)  # type: ignore[operator]
        return numbers
