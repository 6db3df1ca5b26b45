"""File access: atomic writes, readers with size limits, hashes, images."""

from nanogen_files.errors import ConfigError, DataError, NanoGenError

__all__ = [
    "ConfigError",
    "DataError",
    "NanoGenError",
]
