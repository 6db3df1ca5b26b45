"""Brace patterns such as `{00000..00099}.tar`, `{a,b}.tar` and `{1..9..2}.tar`, expanded as shells do.

The number of names is known before the first one is made, so that a pattern of 10^12 names costs nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import product
from math import prod
from typing import NamedTuple, Protocol

from nanogen_core.errors import DataError

MOST = 1_000_000  # names of one pattern
DEEPEST = 20  # braces inside braces
_RANGE = re.compile(r"(-?\d{1,18})\.\.(-?\d{1,18})(?:\.\.(-?\d{1,18}))?")
_LETTERS = re.compile(r"([a-zA-Z])\.\.([a-zA-Z])(?:\.\.(-?\d{1,18}))?")


class Part(Protocol):
    """A piece of a pattern: how many texts it stands for, and which."""

    def count(self) -> int: ...

    def texts(self) -> Iterator[str]: ...


class Text(NamedTuple):
    """What stands outside braces."""

    text: str

    def count(self) -> int:
        return 1

    def texts(self) -> Iterator[str]:
        yield self.text


class Numbers(NamedTuple):
    """`first..last`, with zeros in front up to `width`."""

    first: int
    last: int
    step: int
    width: int

    def _range(self) -> range:
        step = abs(self.step) or 1
        return (
            range(self.first, self.last + 1, step)
            if self.first <= self.last
            else range(self.first, self.last - 1, -step)
        )

    def count(self) -> int:
        return len(self._range())

    def texts(self) -> Iterator[str]:
        return (f"{number:0{self.width}d}" for number in self._range())


class Letters(NamedTuple):
    """`a..e`."""

    numbers: Numbers

    def count(self) -> int:
        return self.numbers.count()

    def texts(self) -> Iterator[str]:
        return (chr(int(text)) for text in self.numbers.texts())


class Row(NamedTuple):
    """Parts one after the other."""

    parts: tuple[Part, ...]

    def count(self) -> int:
        return prod(part.count() for part in self.parts)

    def texts(self) -> Iterator[str]:
        return ("".join(words) for words in product(*(list(part.texts()) for part in self.parts)))


class Choice(NamedTuple):
    """`{a,b}`."""

    options: tuple[Row, ...]

    def count(self) -> int:
        return sum(option.count() for option in self.options)

    def texts(self) -> Iterator[str]:
        return (text for option in self.options for text in option.texts())


def expand(pattern: str) -> Iterator[str]:
    """The names of a pattern, in order. Raises DataError for braces that do not close, and for too many names."""
    row, end = _row(pattern, 0, 0)
    if end < len(pattern):
        raise DataError(f"The pattern {pattern[:200]!r} closes a brace that it does not open: mend it.")
    if row.count() > MOST:
        raise DataError(f"The pattern {pattern[:200]!r} stands for more than {MOST:,} names: mend it, or use `*`.")
    return row.texts()


def _row(pattern: str, start: int, depth: int) -> tuple[Row, int]:
    """The parts from `start` on, up to the comma or brace that ends them inside braces, or the end; and that place."""
    if depth > DEEPEST:
        raise DataError(f"The pattern {pattern[:200]!r} has more than {DEEPEST} braces inside each other: mend it.")
    parts: list[Part] = []
    place = written = start
    while place < len(pattern) and not (pattern[place] == "}" or (depth and pattern[place] == ",")):
        if pattern[place] == "{":
            parts.append(Text(pattern[written:place]))
            part, place = _braces(pattern, place, depth + 1)
            parts.append(part)
            written = place
        else:
            place += 1
    return Row((*parts, Text(pattern[written:place]))), place


def _braces(pattern: str, start: int, depth: int) -> tuple[Part, int]:
    """What the brace that opens at `start` stands for, and the place after its end."""
    options: list[Row] = []
    place = start
    while place == start or pattern[place] == ",":
        row, place = _row(pattern, place + 1, depth)
        options.append(row)
        if place == len(pattern):
            raise DataError(f"The pattern {pattern[:200]!r} opens a brace that it does not close: mend it.")
    inside = pattern[start + 1 : place]
    if len(options) == 1:
        return _sequence(inside) or Row((Text("{"), options[0], Text("}"))), place + 1
    return Choice(tuple(options)), place + 1


def _sequence(inside: str) -> Part | None:
    if found := _RANGE.fullmatch(inside):
        first, last = found[1], found[2]
        zeros = any(re.match(r"-?0\d", text) for text in (first, last))
        width = max(len(first), len(last)) if zeros else 0
        return Numbers(int(first), int(last), int(found[3] or 1), width)
    if found := _LETTERS.fullmatch(inside):
        return Letters(Numbers(ord(found[1]), ord(found[2]), int(found[3] or 1), 0))
    return None
