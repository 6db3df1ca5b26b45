"""All errors of the library. Those about files and configurations come from nanogen-files."""

from __future__ import annotations

from nanogen_files.errors import (
    MISTAKES,
    ConfigError,
    DataError,
    Mistakes,
    NanoGenError,
    listing,
    near_miss,
    shown,
)

__all__ = [
    "MISTAKES",
    "AmbiguousName",
    "ConfigError",
    "ConfigWarning",
    "DataError",
    "Incompatible",
    "Mistakes",
    "NanoGenError",
    "TrainingError",
    "UnknownName",
    "is_out_of_memory",
    "listing",
    "near_miss",
    "shown",
]


class UnknownName(NanoGenError):
    """No installed plugin has a component or method of this name."""


class AmbiguousName(NanoGenError):
    """Two distributions offer the name that was asked for."""


class Incompatible(NanoGenError):
    """The chosen parts cannot work together; found before any of them is imported."""


class TrainingError(NanoGenError):
    """A run cannot start, go on or be resumed."""


class ConfigWarning(UserWarning):
    """Says what became of options that were written for another component."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the machine or its device has no memory left. Loads no torch."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and any(words in text for words in _NO_MEMORY)


_NO_MEMORY = ("can't allocate memory", "not enough memory", "CUDA out of memory", "Storage size calculation overflowed")
