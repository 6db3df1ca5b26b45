"""Expands brace patterns such as `{00000..00099}.tar`, `{a,b}.tar` and `{1..9..2}.tar`, as shells do.

The names are counted before they are generated, so a pattern of 10^12 names is rejected at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import product
from math import prod
from typing import Protocol

from attrs import frozen

from nanogen_core.errors import DataError

MAX_NAMES = 1_000_000  # of one pattern
MAX_DEPTH = 20  # of nested braces
_RANGE = re.compile(r"(-?\d{1,18})\.\.(-?\d{1,18})(?:\.\.(-?\d{1,18}))?")
_LETTERS = re.compile(r"([a-zA-Z])\.\.([a-zA-Z])(?:\.\.(-?\d{1,18}))?")


class Part(Protocol):
    """A part of a pattern."""

    def count(self) -> int:
        """Return the number of texts that it expands to."""

    def texts(self) -> Iterator[str]:
        """Return the texts in order."""


@frozen
class Text:
    """Text outside braces."""

    text: str

    def count(self) -> int:
        return 1

    def texts(self) -> Iterator[str]:
        yield self.text


@frozen
class Numbers:
    """`first..last..step`, padded with zeros to `width`."""

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


@frozen
class Letters:
    """`a..e`, as a range of character codes."""

    numbers: Numbers

    def count(self) -> int:
        return self.numbers.count()

    def texts(self) -> Iterator[str]:
        return (chr(int(text)) for text in self.numbers.texts())


@frozen
class Row:
    """Concatenated parts."""

    parts: tuple[Part, ...]

    def count(self) -> int:
        return prod(part.count() for part in self.parts)

    def texts(self) -> Iterator[str]:
        return ("".join(words) for words in product(*(list(part.texts()) for part in self.parts)))


@frozen
class Choice:
    """Alternatives, `{a,b}`."""

    options: tuple[Row, ...]

    def count(self) -> int:
        return sum(option.count() for option in self.options)

    def texts(self) -> Iterator[str]:
        return (text for option in self.options for text in option.texts())


def expand(pattern: str) -> Iterator[str]:
    """Expand a pattern to its names, in order.

    Raises:
        DataError: Braces are unbalanced or nested too deeply, or there are too many names.
    """
    row, end = _row(pattern, 0, 0)
    if end < len(pattern):
        raise DataError(f"The pattern {pattern[:200]!r} closes a brace that it does not open. Correct the pattern.")
    if row.count() > MAX_NAMES:
        raise DataError(
            f"The pattern {pattern[:200]!r} expands to more than {MAX_NAMES:,} names. Correct the pattern, or use `*`."
        )
    return row.texts()


def _row(pattern: str, start: int, depth: int) -> tuple[Row, int]:
    """Parse the parts from `start` to the end, or inside braces to the comma or brace that ends them.

    Returns the parts and the position of that end.
    """
    if depth > MAX_DEPTH:
        raise DataError(
            f"The pattern {pattern[:200]!r} has more than {MAX_DEPTH} nested braces. Use a simpler pattern."
        )
    parts: list[Part] = []
    position = text_start = start
    while position < len(pattern) and not (pattern[position] == "}" or (depth and pattern[position] == ",")):
        if pattern[position] == "{":
            parts.append(Text(pattern[text_start:position]))
            part, position = _braces(pattern, position, depth + 1)
            parts.append(part)
            text_start = position
        else:
            position += 1
    return Row((*parts, Text(pattern[text_start:position]))), position


def _braces(pattern: str, start: int, depth: int) -> tuple[Part, int]:
    """Parse the brace that opens at `start`. Returns the part and the position after its end."""
    options: list[Row] = []
    position = start
    while position == start or pattern[position] == ",":
        row, position = _row(pattern, position + 1, depth)
        options.append(row)
        if position == len(pattern):
            raise DataError(f"The pattern {pattern[:200]!r} opens a brace that it does not close. Correct the pattern.")
    inside = pattern[start + 1 : position]
    if len(options) == 1:
        return _sequence(inside) or Row((Text("{"), options[0], Text("}"))), position + 1
    return Choice(tuple(options)), position + 1


def _sequence(inside: str) -> Part | None:
    """Parse the content of a brace as a range of numbers or letters; None if it is neither."""
    if found := _RANGE.fullmatch(inside):
        first, last = found[1], found[2]
        zeros = any(re.match(r"-?0\d", text) for text in (first, last))
        width = max(len(first), len(last)) if zeros else 0
        return Numbers(int(first), int(last), int(found[3] or 1), width)
    if found := _LETTERS.fullmatch(inside):
        return Letters(Numbers(ord(found[1]), ord(found[2]), int(found[3] or 1), 0))
    return None
