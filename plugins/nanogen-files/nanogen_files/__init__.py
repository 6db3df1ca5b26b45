"""Reading and writing files: atomic writes, readers with limits, hashes, images."""

from nanogen_files.errors import ConfigError, DataError, NanoGenError

__all__ = [
    "ConfigError",
    "DataError",
    "NanoGenError",
]
