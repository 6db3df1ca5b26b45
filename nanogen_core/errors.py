"""Error classes of the library. Errors about files and configurations are defined in nanogen-files."""

from __future__ import annotations

from nanogen_files.errors import ConfigError as ConfigError
from nanogen_files.errors import DataError as DataError
from nanogen_files.errors import Mistakes as Mistakes
from nanogen_files.errors import NanoGenError as NanoGenError
from nanogen_files.errors import listing as listing
from nanogen_files.errors import near_miss as near_miss
from nanogen_files.errors import shown as shown


class UnknownName(NanoGenError):
    """Nothing has this name: no component, method, recipe, preset, class or GPU."""


class AmbiguousName(NanoGenError):
    """Several installed distributions offer this name."""


class Incompatible(NanoGenError):
    """The selected components cannot be combined. Raised before any of them is imported."""


class TrainingError(NanoGenError):
    """A training run cannot start, continue or resume."""


class ConfigWarning(UserWarning):
    """Reports which options were kept or dropped when a component of a slot was replaced."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that the machine or its GPU ran out of memory. Does not import torch."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and any(words in text for words in _NO_MEMORY)


_NO_MEMORY = ("can't allocate memory", "not enough memory", "CUDA out of memory", "Storage size calculation overflowed")
