"""Differences between two configurations. Does not import torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from attrs import frozen

ABSENT = "(absent)"


@frozen
class Difference:
    """A key such as `train.steps` and its values in the two configurations; ABSENT for a missing key."""

    key: str
    first: Any
    second: Any


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Flatten nested keys: `{"train": {"steps": 1}}` yields `("train.steps", 1)`."""
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[Difference]:
    """Return a `Difference` for each key whose values differ. Keys of `first` come first, in its order."""
    a, b = dict(flat(first)), dict(flat(second))
    keys = [*a, *(key for key in b if key not in a)]
    found = [Difference(key, a.get(key, ABSENT), b.get(key, ABSENT)) for key in keys]
    return [line for line in found if line.first != line.second]
