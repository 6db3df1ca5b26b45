"""Reads fixtures, and replays recorded random numbers."""

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

#: Prefixes of recorded outputs. All of them are compared.
OUTPUTS = ("out.", "after.")


class Recorded(dict[str, Any]):
    """A mapping of a fixture. A missing key raises DataError."""

    source = "the fixture"

    def __missing__(self, key: str) -> Any:
        raise DataError(f"{self.source} lacks {key!r}.")


def read(path: Path) -> tuple[Recorded, Recorded]:
    """Read the facts and tensors of a fixture. Raises DataError if it is damaged or a number is not finite."""
    beside = path.with_suffix(".safetensors")
    tensors = _recorded(storage.read_tensors(beside) if beside.exists() else {}, beside)
    refuse_nonfinite(tensors, beside)
    return read_facts(path), tensors


def read_facts(path: Path) -> Recorded:
    """Read the facts of a fixture. Raises DataError if the file is damaged."""
    facts = _named(storage.read_json(path), path)
    if not isinstance(facts, Recorded):
        raise DataError(f"{path} must contain a JSON object.")
    return facts


def under(tensors: Mapping[str, Tensor], prefix: str) -> Recorded:
    """Return the tensors whose names begin with `prefix`, without the prefix."""
    found = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    return _recorded(found, f"{getattr(tensors, 'source', Recorded.source)} under {prefix}")


def compared(
    ours: Mapping[str, Tensor], tensors: Mapping[str, Tensor], tolerance: float, error: Any = relative_max
) -> Iterator[Measurement]:
    """Compare outputs with the recorded ones of the same names. Raises DataError if one side has an output more."""
    refuse_unknown(tensors, ours.keys())
    for name, value in ours.items():
        yield Measurement(name, error(value, tensors[name]), tolerance)


def refuse_unknown(tensors: Mapping[str, Tensor], known: Collection[str]) -> None:
    """Raise DataError for a recorded output that is not in `known`."""
    if unknown := sorted(name for name in tensors if name.startswith(OUTPUTS) and name not in known):
        raise DataError(f"The output {unknown[0]!r} is recorded, but this check does not compute it.")


def _named(value: Any, path: Path) -> Any:
    """The JSON value with mappings as `Recorded`, whose errors name the file."""
    if isinstance(value, dict):
        return _recorded({key: _named(inner, path) for key, inner in value.items()}, path)
    return [_named(inner, path) for inner in value] if isinstance(value, list) else value


def _recorded(values: Mapping[str, Any], source: object) -> Recorded:
    found = Recorded(values)
    found.source = str(source)
    return found


class RecordedRNG(KeyedRNG):
    """Recorded random numbers by purpose. A purpose without a record raises KeyError."""

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
