"""Recorded fixtures, and recorded random numbers in place of drawn ones."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from nanogen_core.errors import DataError
from nanogen_core.randomness import KeyedRNG
from nanogen_files import storage
from nanogen_files.weights import refuse_nonfinite
from tests.fidelity.measurement import Measurement, relative_max

#: Prefixes of recorded outputs. Everything under them is compared.
OUTPUTS = ("out.", "after.")


class Recorded(dict[str, Any]):
    """A mapping of a fixture. A key that it lacks is a DataError."""

    source = "the fixture"

    def __missing__(self, key: str) -> Any:
        raise DataError(f"{self.source} lacks {key!r}.")


def read(path: Path) -> tuple[Recorded, Recorded]:
    """The facts and the tensors of a fixture. Raises DataError where it is damaged or a number is not finite."""
    beside = path.with_suffix(".safetensors")
    tensors = _recorded(storage.read_tensors(beside) if beside.exists() else {}, beside)
    refuse_nonfinite(tensors, beside)
    return read_facts(path), tensors


def read_facts(path: Path) -> Recorded:
    """The facts alone. Raises DataError where the file is damaged."""
    facts = _named(storage.read_json(path), path)
    if not isinstance(facts, Recorded):
        raise DataError(f"{path} holds no keys and values.")
    return facts


def under(tensors: Mapping[str, Tensor], prefix: str) -> Recorded:
    """The tensors whose names begin with this prefix, without it."""
    found = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    return _recorded(found, f"{getattr(tensors, 'source', Recorded.source)} under {prefix}")


def compared(
    ours: Mapping[str, Tensor], tensors: Mapping[str, Tensor], tolerance: float, error: Any = relative_max
) -> Iterator[Measurement]:
    """Our outputs by their recorded names. Raises DataError if one side has an output that the other lacks."""
    refuse_unknown(tensors, ours.keys())
    for name, value in ours.items():
        yield Measurement(name, error(value, tensors[name]), tolerance)


def refuse_unknown(tensors: Mapping[str, Tensor], known: Collection[str]) -> None:
    """Raises DataError for a recorded output that is not among these."""
    if unknown := sorted(name for name in tensors if name.startswith(OUTPUTS) and name not in known):
        raise DataError(f"The output {unknown[0]!r} is recorded, and this check does not compute it.")


def _named(value: Any, path: Path) -> Any:
    """The same JSON value with mappings that name the file where they lack a key."""
    if isinstance(value, dict):
        return _recorded({key: _named(inner, path) for key, inner in value.items()}, path)
    return [_named(inner, path) for inner in value] if isinstance(value, list) else value


def _recorded(values: Mapping[str, Any], source: object) -> Recorded:
    found = Recorded(values)
    found.source = str(source)
    return found


class RecordedDraws(KeyedRNG):
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
