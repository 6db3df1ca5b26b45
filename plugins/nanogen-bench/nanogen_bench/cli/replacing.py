"""Protection of files that another program wrote at the output path of a command."""

from __future__ import annotations

import os
import re
from pathlib import Path

from nanogen_core.errors import DataError
from nanogen_files.reading import read_bytes


def refuse_foreign(file: Path, pattern: str, command: str) -> None:
    """Raise DataError if the file exists and the command did not write it.

    Args:
        file: Output file.
        pattern: Regular expression that files of the command match.
        command: Name of the command, for the message.
    """
    if not os.path.lexists(file):
        return
    if file.is_symlink() or not re.search(pattern.encode(), read_bytes(file)):
        raise DataError(f"{file} exists, and `nanogen {command}` did not write it: choose another output path.")
