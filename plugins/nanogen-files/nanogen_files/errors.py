"""Exceptions with a message for the user: what is wrong, where, and what to do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from reprlib import Repr
from typing import Any

SHOWN = 100  #: maximum characters of a value quoted in an error
MISTAKES, LINE = 20, 3000  #: maximum mistakes printed by one error, and maximum characters of each
_CAUSE = 300  # maximum characters of a cause
_MAX_WORD = 64  # longer words get no spelling suggestion


class NanoGenError(Exception):
    """Base class of errors that the user can fix.

    The command line prints the message only; `--debug` adds the traceback.
    """


class ConfigError(NanoGenError):
    """The configuration is wrong, such as an unknown key, a wrong type or a wrong value."""


class Mistakes(ConfigError):
    """One or more configuration mistakes, one per line. Prints at most `MISTAKES` of them."""

    def __init__(self, lines: Sequence[str], heading: str = ""):
        self.lines = [line[:LINE] for line in lines]
        more = len(lines) - MISTAKES
        rest = [f"and {counted(more, 'more mistake')}"] if more > 0 else []
        mark = "\n  - " if heading else "\n"
        super().__init__(mark.join([*([heading] if heading else []), *self.lines[:MISTAKES], *rest]))


class DataError(NanoGenError):
    """A file or other input data is missing, corrupt or unsuitable."""


class _BoundedRepr(Repr):
    """`repr` with bounded time, memory and length. Deep or large values are truncated."""

    def __init__(self, most: int) -> None:
        super().__init__()
        longest = 60 if most <= SHOWN else most
        self.maxlevel, self.maxdict, self.maxstring, self.maxother = 3, 4, longest, longest

    def repr1(self, x: Any, level: int) -> str:
        """Dispatch on the built-in base class of a value; `reprlib.Repr` does not handle subclasses."""
        for kind in (str, int, dict, list, tuple, set, frozenset):
            if isinstance(x, kind):
                text: str = getattr(self, f"repr_{kind.__name__}")(x, level)
                return text
        return self.repr_instance(x, level)

    def repr_int(self, x: int, level: int) -> str:
        return repr(x) if x.bit_length() <= 128 else f"an integer of {x.bit_length()} bits"


def shown(value: Any, most: int = SHOWN) -> str:
    """Return `repr(value)` in at most `most` characters, for use in an error message.

    Abridges long strings, large collections, deep nesting and huge integers.
    """
    text = _BoundedRepr(most).repr(value)
    return text if len(text) <= most else f"{text[: most - 3]}..."


def near_miss(word: str, known: Iterable[str]) -> str:
    """Suggest a similar name, for use in an error message.

    Args:
        word: The unknown name.
        known: The known names.

    Returns:
        `" Did you mean 'lightning-dit'?"`, or an empty string if no known name is similar or `word` is very long.
    """
    spelling = {name.lower(): name for name in known}
    close = get_close_matches(word.lower(), spelling, n=1, cutoff=0.6) if len(word) <= _MAX_WORD else []
    return f" Did you mean {spelling[close[0]]!r}?" if close else ""


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """Return a number and its noun: `"1 image"`, `"2 images"`. Without `plural`, the plural is the noun with an s."""
    return f"{count} {noun if count == 1 else plural or f'{noun}s'}"


def listing(names: Iterable[str], *, empty: str = "none") -> str:
    """Return the names as `"a, b, c"` in alphabetical order, or `empty` if there are none."""
    return ", ".join(sorted(names)) or empty


def cause(error: BaseException) -> str:
    """Return another library's error on one line, for use in parentheses.

    Gives the message, shortened to 300 characters, or the type of an error without a message. A KeyError gives both.
    """
    text = " ".join(str(error).split()).rstrip(".:")
    text = text if len(text) <= _CAUSE else f"{text[: _CAUSE - 3]}..."
    return f"{type(error).__name__}: {text}" if isinstance(error, KeyError) else text or type(error).__name__


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that the machine or its GPU ran out of memory. Does not import torch."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and any(words in text for words in _NO_MEMORY)


_NO_MEMORY = ("can't allocate memory", "not enough memory", "CUDA out of memory", "Storage size calculation overflowed")
