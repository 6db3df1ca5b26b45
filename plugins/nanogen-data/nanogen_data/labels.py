"""Labels are whole numbers from 0 to N - 1: N would be the null class, and train as it."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral
from typing import Any

from nanogen_core.errors import DataError, shown
from nanogen_core.protocols import Example, Examples

HUGE = 10**18  # no number of classes; Python writes none of more than 4300 digits as text


def checked(value: object, classes: int | None, place: str) -> int:
    """The label as an int. Raises DataError, with its place, the value and N, for anything but a whole number from 0 to
    `classes` - 1. `classes` is None where nobody knows N; then any number from 0 on is a label."""
    if isinstance(value, Integral) and not isinstance(value, bool):
        number = int(value)
        if number >= 0 and (classes is None or number < classes):
            return number
    raise DataError(wrong(value, classes, place))


def wrong(value: object, classes: int | None, place: str) -> str:
    """The sentence for a label that is none."""
    upper = "" if classes is None else f" to {classes - 1}"
    known = "" if classes is None else f" ({classes} classes)"
    return f"The label of {place} is {shown(value)}, and labels are whole numbers from 0{upper}{known}."


def from_one(values: Iterable[int], classes: int) -> str:
    """A hint where labels run from 1 to N; else the empty string."""
    present = set(values)
    counted = bool(present) and min(present) == 1 and max(present) == classes
    return " They seem to count from 1: subtract 1 from each." if counted else ""


class CheckedLabels:
    """Examples whose labels are checked as they are read, whatever dataset they come from."""

    def __init__(self, examples: Examples, classes: int):
        self._examples, self._classes = examples, classes
        if hasattr(examples, "__getitems__"):
            self.__getitems__ = self._many

    def __len__(self) -> int:
        return len(self._examples)

    def __getitem__(self, index: int) -> Example:
        return self._checked(index, self._examples[index])

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # pickle asks before there is anything to ask
            raise AttributeError(name)
        return getattr(self._examples, name)

    def _many(self, indices: list[int]) -> list[Example]:
        many: list[Example] = self._examples.__getitems__(indices)  # type: ignore[attr-defined]
        return [self._checked(index, example) for index, example in zip(indices, many, strict=True)]

    def _checked(self, index: int, example: Example) -> Example:
        checked(example.label, self._classes, f"example {index}")
        return example
