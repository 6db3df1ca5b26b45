"""Checks of class labels. The labels of N classes are the integers from 0 to N - 1, and N is the null class."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral
from typing import Any

from nanogen_core.errors import DataError, shown
from nanogen_core.protocols import Example, Examples
from nanogen_data.streams import refuse_stream

HUGE = 10**18  # larger than any number of classes


def checked(value: object, classes: int | None, place: str) -> int:
    """Return a label as int.

    Args:
        value: The label.
        classes: Number of classes N; None if it is unknown.
        place: Where the label comes from, for the error message.

    Raises:
        DataError: The label is not an integer from 0 to N - 1. If N is unknown, there is no upper limit.
    """
    if isinstance(value, Integral) and not isinstance(value, bool):
        number = int(value)
        if number >= 0 and (classes is None or number < classes):
            return number
    raise DataError(wrong(value, classes, place))


def wrong(value: object, classes: int | None, place: str) -> str:
    """Return the error message for an invalid label."""
    upper = "" if classes is None else f" to {classes - 1}"
    known = "" if classes is None else f" ({classes} classes)"
    return f"The label of {place} is {shown(value)}; labels must be integers from 0{upper}{known}."


def from_one(values: Iterable[int], classes: int) -> str:
    """Return a hint if labels seem to run from 1 to N instead of 0 to N - 1; otherwise an empty string."""
    present = set(values)
    counted = bool(present) and min(present) == 1 and max(present) == classes
    return " The labels seem to start at 1: subtract 1 from each." if counted else ""


class CheckedLabels:
    """Wrap the examples of any dataset and check each label when it is read."""

    def __init__(self, examples: Examples, classes: int):
        refuse_stream(examples)
        self._examples, self._classes = examples, classes
        if hasattr(examples, "__getitems__"):
            self.__getitems__ = self._many

    def __len__(self) -> int:
        return len(self._examples)

    def __getitem__(self, index: int) -> Example:
        return self._checked(index, self._examples[index])

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # pickle looks up attributes before __init__
            raise AttributeError(name)
        return getattr(self._examples, name)

    def _many(self, indices: list[int]) -> list[Example]:
        many: list[Example] = self._examples.__getitems__(indices)  # type: ignore[attr-defined]
        return [self._checked(index, example) for index, example in zip(indices, many, strict=True)]

    def _checked(self, index: int, example: Example) -> Example:
        checked(example.label, self._classes, f"example {index}")
        return example
