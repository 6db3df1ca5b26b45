"""Files that a command writes where the user says: one of an earlier call is replaced, and no other file."""

from __future__ import annotations

import os
import re
from pathlib import Path

from nanogen_core.errors import DataError
from nanogen_files.reading import read_bytes


def refuse_foreign(file: Path, ours: str, command: str) -> None:
    """Raises DataError where there is a file that the command did not write: one without the pattern `ours`."""
    if not os.path.lexists(file):
        return
    if file.is_symlink() or not re.search(ours.encode(), read_bytes(file)):
        raise DataError(
            f"{file} is there, and `nanogen {command}` did not write it: name another place for the output."
        )
