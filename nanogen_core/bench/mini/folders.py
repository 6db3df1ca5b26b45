"""Folders of runs that know which question they answer, and configurations that name the folders of other runs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from nanogen_core import storage
from nanogen_core.errors import DataError, TrainingError

STARTED, RESULT, FAILURE = "started.json", "result.json", "failure.json"

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
    """Makes an empty folder belong to this training, or finds that it does. Nothing in it is deleted.

    Raises TrainingError for a folder of another training, or with something else in it.
    """
    started = folder / STARTED
    if started.is_file():
        if storage.read_json(started) == training:
            return
        raise TrainingError(f"{folder} holds a run of another configuration: move it away, or name another --output.")
    others = sorted(path.name for path in folder.iterdir() if path.name != FAILURE) if folder.is_dir() else []
    if others:
        raise TrainingError(f"{folder} is not empty ({others[0]} lies there): move it away, or name another --output.")
    storage.write_json(started, training)


def answer(folder: Path, asked: Any) -> dict[str, Any] | None:
    """What was written when the run was finished, if it was asked the same. Raises DataError for a damaged file."""
    file = folder / RESULT
    if not file.is_file():
        return None
    found = storage.read_json(file)
    if not isinstance(found, dict) or "asked" not in found:
        raise DataError(f"{file} is damaged: it is no result of a run.")
    return found if found["asked"] == asked else None
