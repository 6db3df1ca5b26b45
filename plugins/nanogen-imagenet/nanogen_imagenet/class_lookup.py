"""From what a person calls a class to its label."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from numbers import Integral

from nanogen_core.errors import NanoGenError, UnknownName, near_miss, shown
from nanogen_data.labels import HUGE

_NUMBER = re.compile(r"-?[0-9]{1,18}")
LONGEST = 200  # characters of a name that are compared with the others


class Words:
    """Label names as WordNet writes them: `tench, Tinca tinca` is found by the whole and by either part."""

    def __init__(self, classes: Sequence[str]):
        self.classes = tuple(classes)
        self._whole = _labels_by_word([name] for name in self.classes)
        self._parts = _labels_by_word(name.split(",") for name in self.classes)

    def label(self, word: str | int) -> int:
        """The label 0 ... N - 1 of a name in any case, or of a number.

        A number means the same as an int and as text: the class of that name where there is one, else the label.
        Raises UnknownName for an unknown name, NanoGenError for a number outside, a name of several classes, and for
        what is neither text nor a whole number.
        """
        if isinstance(word, Integral) and not isinstance(word, bool):
            if abs(number := int(word)) >= HUGE:
                return self._inside(number)
            word = str(number)
        if not isinstance(word, str):
            raise NanoGenError(
                f"{shown(word)} is neither the name of a class nor a whole number: ask for one of these."
            )
        text = _plain(word)
        found = self._whole.get(text) or self._parts.get(text, [])
        if len(found) > 1:
            raise NanoGenError(f"The name {word!r} belongs to {len(found)} classes: ask for one of the labels {found}.")
        if found:
            return found[0]
        if _NUMBER.fullmatch(text):
            return self._inside(int(text))
        raise UnknownName(
            f"There is no class {shown(word)} among the {len(self.classes)} of this model."
            f"{near_miss(text[:LONGEST], {**self._whole, **self._parts})} A label may also be a number from 0 to "
            f"{len(self.classes) - 1}."
        )

    def _inside(self, label: int) -> int:
        if 0 <= label < len(self.classes):
            return label
        raise NanoGenError(
            f"There is no label {shown(label)}: this model has {len(self.classes)} classes, so choose one from 0 to "
            f"{len(self.classes) - 1}, or a class by its name."
        )


def _labels_by_word(names: Iterable[Sequence[str]]) -> dict[str, list[int]]:
    labels: dict[str, list[int]] = {}
    for label, words in enumerate(names):
        for word in sorted({_plain(word) for word in words}):
            labels.setdefault(word, []).append(label)
    return labels


def _plain(word: str) -> str:
    return word.strip().lower()
