"""The benchmarks' own files, which lie where the user has them: no wheel holds them."""

from __future__ import annotations

import os
from pathlib import Path

from nanogen_core.errors import DataError


def benchmark_file(option: str | None, setting: str, default: str) -> Path:
    """Where a file or folder lies: what the option says, or `default` under the environment variable NANOGEN_DATA.

    `setting` names the option in the sentence. Raises DataError, which names the file, where there is none.
    """
    home = os.environ.get("NANOGEN_DATA")
    if option is None and home is None:
        raise DataError(
            f"Nothing says where {default} lies: set the option `{setting}` to it, or the environment "
            f"variable NANOGEN_DATA to a folder that holds {default}."
        )
    path = Path(option).expanduser() if option is not None else Path(str(home)).expanduser() / default
    if not path.exists():
        raise DataError(f"There is no {path}: put it there, or set the option `{setting}` to where it lies.")
    return path
