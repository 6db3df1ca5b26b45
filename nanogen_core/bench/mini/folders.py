"""Folders of runs that know which question they answer, and configurations that name the folders of other runs."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from nanogen_core import storage

STARTED, RESULT = "started.json", "result.json"

_BRACES = re.compile(r"\{([\w+-]+)\}")


def braces(value: Any) -> Iterator[str]:
    """The names in braces in all texts of a configuration."""
    if isinstance(value, str):
        yield from _BRACES.findall(value)
    elif isinstance(value, (Mapping, list, tuple)):
        for part in value.values() if isinstance(value, Mapping) else value:
            yield from braces(part)


def filled(value: Any, path: Callable[[str], str]) -> Any:
    """The configuration with `path(name)` in place of every `{name}`."""
    if isinstance(value, Mapping):
        return {key: filled(part, path) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [filled(part, path) for part in value]
    return _BRACES.sub(lambda match: path(match[1]), value) if isinstance(value, str) else value


def claim(folder: Path, training: Any) -> None:
    """Makes the folder belong to this training: what another one left in it is deleted."""
    started = folder / STARTED
    if started.is_file() and storage.read_json(started) == training:
        return
    shutil.rmtree(folder, ignore_errors=True)
    storage.write_json(started, training)


def answer(folder: Path, asked: Any) -> dict[str, Any] | None:
    """What was written when the run was finished, if it was asked the same."""
    file = folder / RESULT
    found: dict[str, Any] | None = storage.read_json(file) if file.is_file() else None
    return found if found and found["asked"] == asked else None
