"""Finds the label of a class by name or number."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from numbers import Integral

from nanogen_core.errors import NanoGenError, UnknownName, listing, near_miss, shown
from nanogen_data.labels import HUGE

_NUMBER = re.compile(r"-?[0-9]{1,18}")
FEW = 20  # classes that an error message lists
LONGEST = 200  # characters of a name that are used for suggestions


class ClassLookup:
    """Looks up labels by class name. The class `tench, Tinca tinca` is found by the whole name and by either
    synonym."""

    def __init__(self, classes: Sequence[str]):
        self.classes = tuple(classes)
        self._whole = _labels_by_word([name] for name in self.classes)
        self._parts = _labels_by_word(name.split(",") for name in self.classes)

    def label(self, word: str | int) -> int:
        """Return the label of a class.

        Args:
            word: A class name in any case, or a label as int or text. A number that is also a class name stands for the
                class of this name.

        Returns:
            A label from 0 to N - 1, for N classes.

        Raises:
            UnknownName: There is no class of this name.
            NanoGenError: The number is out of range, several classes have the name, or `word` has another type.
        """
        if isinstance(word, Integral) and not isinstance(word, bool):
            if abs(number := int(word)) >= HUGE:
                return self._inside(number)
            word = str(number)
        if not isinstance(word, str):
            raise NanoGenError(f"{shown(word)} is neither a class name nor a whole number. Give one of these.")
        text = _plain(word)
        found = self._whole.get(text) or self._parts.get(text, [])
        if len(found) > 1:
            raise NanoGenError(f"The name {word!r} belongs to {len(found)} classes. Use one of the labels {found}.")
        if found:
            return found[0]
        if _NUMBER.fullmatch(text):
            return self._inside(int(text))
        raise UnknownName(
            f"There is no class {shown(word)} among the {len(self.classes)} of this model."
            f"{near_miss(text[:LONGEST], {**self._whole, **self._parts})}{self._listed()}"
            f" Use another class name, or a label from 0 to {len(self.classes) - 1}."
        )

    def _listed(self) -> str:
        """Return a sentence with the names of the classes if there are few."""
        return f" Classes: {listing(map(shown, self.classes))}." if len(self.classes) <= FEW else ""

    def _inside(self, label: int) -> int:
        if 0 <= label < len(self.classes):
            return label
        raise NanoGenError(
            f"There is no label {shown(label)}: this model has {len(self.classes)} classes. Choose a label from 0 to "
            f"{len(self.classes) - 1}, or a class name."
        )


def _labels_by_word(names: Iterable[Sequence[str]]) -> dict[str, list[int]]:
    labels: dict[str, list[int]] = {}
    for label, words in enumerate(names):
        for word in sorted({_plain(word) for word in words}):
            labels.setdefault(word, []).append(label)
    return labels


def _plain(word: str) -> str:
    return word.strip().lower()
