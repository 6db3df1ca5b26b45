"""Finds the files of the benchmarks on this machine. No wheel contains them."""

from __future__ import annotations

import os
from pathlib import Path

from nanogen_core.errors import DataError


def benchmark_file(option: str | None, setting: str, default: str) -> Path:
    """Return the path of a benchmark's file or folder.

    Args:
        option: The value of the option. None: `default` in the folder that the environment variable NANOGEN_DATA names.
        setting: The name of the option, for error messages.
        default: A path relative to NANOGEN_DATA.

    Raises:
        DataError: The path does not exist, or neither the option nor NANOGEN_DATA is set.
    """
    home = os.environ.get("NANOGEN_DATA")
    if option is None and home is None:
        raise DataError(
            f"The path of {default} is unknown. Set the option `{setting}` to it, or the environment variable "
            f"NANOGEN_DATA to a folder that contains {default}."
        )
    path = Path(option).expanduser() if option is not None else Path(str(home)).expanduser() / default
    if not path.exists():
        raise DataError(f"There is no {path}. Put the file or folder there, or set the option `{setting}` to its path.")
    return path
