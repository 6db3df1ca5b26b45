"""Names that become parts of paths: checked before any path is made of them. Loads no torch."""

from __future__ import annotations

import re
from pathlib import Path

from nanogen_files.errors import ConfigError, DataError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")


def check_name(name: object, where: str) -> str:
    """The name. Raises ConfigError for one that could leave its folder, hide, or be no name on another system."""
    if not isinstance(name, str) or not _NAME.fullmatch(name) or name.endswith("."):
        raise ConfigError(
            f"{where}: {_short(name)} cannot name a folder. A name has letters, digits and . _ + - alone, begins with a"
            " letter or a digit, and has at most 100 of them."
        )
    return name


def inside(folder: Path, place: Path) -> Path:
    """The place. Raises DataError for one that is not inside the folder."""
    home, found = folder.resolve(), place.resolve()
    if home not in found.parents:
        raise DataError(
            f"{place} lies outside of {folder}: a name in the file that gave it holds `..` or begins with /."
        )
    return place


def _short(name: object) -> str:
    text = repr(name)
    return text if len(text) <= 60 else f"{text[:57]}..."
