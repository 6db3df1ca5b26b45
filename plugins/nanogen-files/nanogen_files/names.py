"""Check names and paths before they are used in the file system. Does not import torch."""

from __future__ import annotations

import re
from pathlib import Path

from nanogen_files.errors import ConfigError, DataError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")


def check_name(name: object, where: str) -> str:
    """Return `name` if it is a valid folder name.

    Args:
        name: The name to check.
        where: Option that the name comes from, for the error message.

    Raises:
        ConfigError: The name is not a string of 1 to 100 letters, digits and `. _ + -`, begins with one of `. _ + -`,
            or ends with a dot.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name) or name.endswith("."):
        raise ConfigError(
            f"{where}: {_short(name)} is not a valid folder name. Use letters, digits and . _ + -, begin with a letter"
            " or a digit, do not end with a dot, and use at most 100 characters."
        )
    return name


def inside(folder: Path, path: Path) -> Path:
    """Return `path` if it is inside `folder`. Raises DataError otherwise."""
    root, target = folder.resolve(), path.resolve()
    if root not in target.parents:
        raise DataError(f"{path} leads outside of {folder}. Check for `..`, a leading / or a symbolic link.")
    return path


def _short(name: object) -> str:
    text = repr(name)
    return text if len(text) <= 60 else f"{text[:57]}..."
