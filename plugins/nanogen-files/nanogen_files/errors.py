"""Errors that a person reads: one sentence that says what is wrong, where, and what to do next."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from reprlib import Repr
from typing import Any

SHOWN = 100  #: characters of a value that an error quotes
MISTAKES, LINE = 20, 3000  #: mistakes that one error prints, and characters of each
_LONG = 64  # characters of a word that is compared with known names


class NanoGenError(Exception):
    """A mistake that its reader can mend. The command line prints the sentence alone; `--debug` adds the traceback."""


class ConfigError(NanoGenError):
    """The configuration is wrong: a key, a type or a value. Lists every mistake, each with its path in the file."""


class Mistakes(ConfigError):
    """Several mistakes in one configuration, each a line. Prints the first of them."""

    def __init__(self, lines: Sequence[str], heading: str = ""):
        self.lines = [line[:LINE] for line in lines]
        more = len(lines) - MISTAKES
        rest = [f"and {more} more mistakes"] if more > 0 else []
        mark = "\n  - " if heading else "\n"
        super().__init__(mark.join([*([heading] if heading else []), *self.lines[:MISTAKES], *rest]))


class DataError(NanoGenError):
    """Data, or a file that was named, is missing or damaged."""


class _Short(Repr):
    """Bounded in time, memory and length, whatever the value: a nested value is cut off, never walked."""

    def __init__(self, most: int) -> None:
        super().__init__()
        longest = 60 if most <= SHOWN else most
        self.maxlevel, self.maxdict, self.maxstring, self.maxother = 3, 4, longest, longest

    def repr1(self, x: Any, level: int) -> str:
        """By the built-in class that a value is an instance of; the base class knows no subclasses."""
        for kind in (str, int, dict, list, tuple, set, frozenset):
            if isinstance(x, kind):
                text: str = getattr(self, f"repr_{kind.__name__}")(x, level)
                return text
        return self.repr_instance(x, level)

    def repr_int(self, x: int, level: int) -> str:
        return repr(x) if x.bit_length() <= 128 else f"a whole number of {x.bit_length()} bits"


def shown(value: Any, most: int = SHOWN) -> str:
    """The value as an error quotes it: its `repr`, cut off at `most` characters."""
    text = _Short(most).repr(value)
    return text if len(text) <= most else f"{text[: most - 3]}..."


def near_miss(word: str, known: Iterable[str]) -> str:
    """`" Did you mean 'lightning-dit'?"`, or the empty string where nothing known is near."""
    spelling = {name.lower(): name for name in known}
    close = get_close_matches(word.lower(), spelling, n=1, cutoff=0.6) if len(word) <= _LONG else []
    return f" Did you mean {spelling[close[0]]!r}?" if close else ""


def listing(names: Iterable[str], *, empty: str = "none") -> str:
    """`"a, b, c"` in alphabetical order, for the part of a sentence that says what exists."""
    return ", ".join(sorted(names)) or empty
