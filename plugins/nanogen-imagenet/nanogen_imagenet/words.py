"""From what a person calls a class to its label."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from nanogen_core.errors import NanoGenError, UnknownName, near_miss


class Words:
    """Label names as WordNet writes them: `tench, Tinca tinca` is found by the whole and by either part."""

    def __init__(self, classes: Sequence[str]):
        self.classes = tuple(classes)
        self._whole = _labels_by_word([name] for name in self.classes)
        self._parts = _labels_by_word(name.split(",") for name in self.classes)

    def label(self, word: str | int) -> int:
        """The label 0 ... N - 1 of a name in any case, of a number, or of a number written as text.

        Raises UnknownName for an unknown name, NanoGenError for a number outside or a name of several classes.
        """
        if isinstance(word, int):
            return self._inside(word)
        found = self._whole.get(_plain(word)) or self._parts.get(_plain(word), [])
        if len(found) > 1:
            raise NanoGenError(f"The name {word!r} belongs to {len(found)} classes: ask for one of the labels {found}.")
        if found or word.strip().isdecimal():
            return found[0] if found else self._inside(int(word))
        raise UnknownName(
            f"There is no class {word!r} among the {len(self.classes)} of this model."
            f"{near_miss(word, {**self._whole, **self._parts})} A label may also be a number from 0 to "
            f"{len(self.classes) - 1}."
        )

    def _inside(self, label: int) -> int:
        if 0 <= label < len(self.classes):
            return label
        raise NanoGenError(
            f"There is no label {label}: this model has {len(self.classes)} classes, so choose one from 0 to "
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
