"""The benchmarks' own files, which lie where the user has them: no wheel holds them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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


def json_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a file with one on each line. Raises DataError, with the line's number, for a damaged one."""
    for number, line in enumerate(text_of(path).splitlines(), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except ValueError as error:
            raise DataError(f"Line {number} of {path} is no JSON ({error}): fetch or write the file again.") from error
        if not isinstance(value, dict):
            raise DataError(f"Line {number} of {path} is no JSON object: fetch or write the file again.")
        yield value


def text_of(path: Path) -> str:
    """Raises DataError where the file cannot be read or is not UTF-8."""
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as UTF-8 ({error}): fetch or write it again.") from error
