"""The lines in which two configurations differ. Loads no torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from attrs import frozen

ABSENT = "(absent)"


@frozen
class Difference:
    """One line, `train.steps`, with its value in either configuration; ABSENT where it has none."""

    key: str
    first: Any
    second: Any


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """`{"train": {"steps": 1}}` as `("train.steps", 1)`."""
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[Difference]:
    """The lines that are not the same in both, in the order of the first."""
    a, b = dict(flat(first)), dict(flat(second))
    keys = [*a, *(key for key in b if key not in a)]
    found = [Difference(key, a.get(key, ABSENT), b.get(key, ABSENT)) for key in keys]
    return [line for line in found if line.first != line.second]
