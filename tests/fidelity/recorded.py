"""Recorded fixtures, and recorded random numbers in place of drawn ones."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from nanogen_core import storage
from nanogen_core.randomness import Draws


def read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The facts and the tensors of a fixture."""
    tensors = path.with_suffix(".safetensors")
    return json.loads(path.read_text()), storage.read_tensors(tensors) if tensors.exists() else {}


def under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with this prefix, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


class RecordedDraws(Draws):
    """Random numbers by purpose, as they were recorded. A purpose without a record is a KeyError."""

    def __init__(self, numbers: Mapping[str, Tensor | float], *, samples: int, step: int = 0):
        super().__init__(0, range(samples), step=step)
        self.numbers = dict(numbers)

    def normal(self, purpose: str, shape: Sequence[int]) -> Tensor:
        return self.uniform(purpose, shape)

    def uniform(self, purpose: str, shape: Sequence[int] = ()) -> Tensor:
        found = self.numbers[purpose]
        assert isinstance(found, Tensor)
        assert found.shape == (len(self.slots), *shape), purpose
        return found

    def shared_uniform(self, purpose: str) -> float:
        return float(self.numbers[purpose])
