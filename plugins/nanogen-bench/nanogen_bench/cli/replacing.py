"""Protection of files that another program wrote at the output path of a command."""

from __future__ import annotations

import os
import re
from pathlib import Path

from nanogen_core.errors import DataError
from nanogen_files.reading import read_bytes


def refuse_foreign(file: Path, pattern: str, command: str) -> None:
    """Raise DataError if the file exists, unless it looks like a file that the command wrote. Refuses symbolic links.

    Args:
        file: Output file.
        pattern: Regular expression that is found in files of the command.
        command: Name of the command, such as `"bench card"`, for the message.
    """
    if not os.path.lexists(file):
        return
    if file.is_symlink() or not re.search(pattern.encode(), read_bytes(file)):
        raise DataError(
            f"{file} exists, and is not a file that `nanogen {command}` wrote, or is a symbolic link. Choose another"
            " output path."
        )
