"""Check that a command does not overwrite a file that another program wrote."""

from __future__ import annotations

import os
import re
from pathlib import Path

from nanogen_core.errors import DataError
from nanogen_files.reading import read_bytes


def refuse_foreign(file: Path, pattern: str, command: str) -> None:
    """Raise DataError if the output path is taken by a symbolic link, or by a file that the command did not write.

    Args:
        file: Output path.
        pattern: Regular expression that matches a part of each file that the command writes.
        command: Name of the command, such as `"bench card"`, for the message.
    """
    if not os.path.lexists(file):
        return
    if file.is_symlink() or not re.search(pattern.encode(), read_bytes(file)):
        raise DataError(
            f"{file} exists, and is not a file that `nanogen {command}` wrote, or is a symbolic link. Choose another"
            " output path."
        )
