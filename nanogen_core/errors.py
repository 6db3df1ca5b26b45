"""Error classes of the library. Errors about files and configurations are defined in nanogen-files."""

from __future__ import annotations

from nanogen_files.errors import ConfigError as ConfigError
from nanogen_files.errors import DataError as DataError
from nanogen_files.errors import Mistakes as Mistakes
from nanogen_files.errors import NanoGenError as NanoGenError
from nanogen_files.errors import is_out_of_memory as is_out_of_memory
from nanogen_files.errors import listing as listing
from nanogen_files.errors import near_miss as near_miss
from nanogen_files.errors import shown as shown


class UnknownName(NanoGenError):
    """There is no component, method, recipe, preset, class or GPU of the given name."""


class AmbiguousName(NanoGenError):
    """Several installed distributions offer this name."""


class Incompatible(NanoGenError):
    """The selected components cannot be combined. Raised before any of them is imported, or later by one of them."""


class TrainingError(NanoGenError):
    """A training run cannot start, continue or resume."""


class ConfigWarning(UserWarning):
    """Warns that settings were dropped, kept for another component, combined with defaults, or not used."""
