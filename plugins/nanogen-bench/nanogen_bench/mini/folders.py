"""Folders of runs that know which question they answer, and configurations that name the folders of other runs."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from nanogen_core.errors import DataError, TrainingError
from nanogen_eval import seal
from nanogen_files import json_files, storage, text_files
from nanogen_files.reading import read_bytes

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


def is_failure(file: Path) -> bool:
    """Whether this program wrote the file when a run failed."""
    try:
        return "error" in json_files.read_object(file)
    except DataError:
        return False


def answer(folder: Path, asked: Any) -> dict[str, Any] | None:
    """What was written when the run was finished, if it was asked the same. Raises DataError for a damaged file."""
    file = folder / RESULT
    if not os.path.lexists(file):
        return None
    found = read_result(file)
    return found if found["asked"] == asked else None


def write_result(folder: Path, result: Mapping[str, Any]) -> None:
    """Write the result of a finished run with the hash of its values."""
    seal.write(folder / RESULT, result)


def read_result(file: Path) -> dict[str, Any]:
    """What `write_result` wrote. Raises DataError, with what to do, for a file that is damaged or was changed."""
    found = _object(read_bytes(file), str(file))
    if not seal.is_sealed(found) or "asked" not in found:
        what = "is not that of its values" if seal.SEAL in found else "is missing"
        raise DataError(
            f"{file} is damaged: its hash ({seal.SEAL}) {what}. Move {file.parent} away, and the same command makes the"
            " run again."
        )
    return {key: value for key, value in found.items() if key != seal.SEAL}


def _object(data: bytes, name: str) -> dict[str, Any]:
    """The JSON object in these bytes; empty where there is none."""
    try:
        found = json_files.parse(text_files.decode(data, name), name)
    except DataError:
        return {}
    return found if isinstance(found, dict) else {}
