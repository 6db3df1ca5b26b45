"""Files of an experiment's run folders, and configurations that refer to the folders of other runs."""

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
    """Yield each `name` that the strings of a configuration contain as `{name}`."""
    if isinstance(value, str):
        yield from _BRACES.findall(value)
    elif isinstance(value, (Mapping, list, tuple)):
        for part in value.values() if isinstance(value, Mapping) else value:
            yield from braces(part)


def filled(value: Any, path: Callable[[str], str]) -> Any:
    """Return the configuration with every `{name}` replaced by `path(name)`."""
    if isinstance(value, Mapping):
        return {key: filled(part, path) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [filled(part, path) for part in value]
    return _BRACES.sub(lambda match: path(match[1]), value) if isinstance(value, str) else value


def claim(folder: Path, training: Any) -> None:
    """Record in an empty folder which training it is for. Does nothing if the same training is recorded.

    Args:
        folder: Folder of the run.
        training: JSON values that identify the training, see `Job.training`.

    Raises:
        TrainingError: The folder belongs to another training, or contains other files.
    """
    started = folder / STARTED
    if started.is_file():
        if storage.read_json(started) == training:
            return
        raise TrainingError(
            f"{folder} contains a run of another configuration: move it away, or choose another --output."
        )
    others = sorted(path.name for path in folder.iterdir() if path.name != FAILURE) if folder.is_dir() else []
    if others:
        raise TrainingError(
            f"{folder} is not empty (it contains {others[0]}): move it away, or choose another --output."
        )
    storage.write_json(started, training)


def is_failure(file: Path) -> bool:
    """Return whether the file has the form of `failure.json`."""
    try:
        return "error" in json_files.read_object(file)
    except DataError:
        return False


def clear_failure(folder: Path) -> None:
    """Delete the `failure.json` of an earlier attempt. A file of another form stays."""
    if is_failure(folder / FAILURE):
        (folder / FAILURE).unlink()


def finished_result(folder: Path, request: Any) -> dict[str, Any] | None:
    """Read the result of a finished run.

    Args:
        folder: Folder of the run.
        request: The current request of the run, as JSON values; see `Job.request`.

    Returns:
        The result; None if the run is not finished, or has another request.

    Raises:
        DataError: The result file is damaged or was edited.
    """
    file = folder / RESULT
    if not os.path.lexists(file):
        return None
    found = read_result(file)
    return found if found["request"] == request else None


def write_result(folder: Path, result: Mapping[str, Any]) -> None:
    """Write the result of a finished run, with a hash of its values."""
    seal.write(folder / RESULT, result)


def read_result(file: Path) -> dict[str, Any]:
    """Read a file that `write_result` wrote. Raises DataError if it is damaged, was edited, or is another file."""
    found = _object(read_bytes(file), str(file))
    problem = None
    if not seal.is_sealed(found):
        problem = f"is damaged: its hash ({seal.SEAL}) {'does not match' if seal.SEAL in found else 'is missing'}"
    elif "request" not in found:
        problem = "is not the result of a run: it has no `request`"
    if problem is not None:
        raise DataError(
            f"{file} {problem}. Move {file.parent} away, and the same `nanogen bench mini` command repeats the run."
        )
    return {key: value for key, value in found.items() if key != seal.SEAL}


def _object(data: bytes, name: str) -> dict[str, Any]:
    """Parse a JSON object. Returns an empty one for anything else."""
    try:
        found = json_files.parse(text_files.decode(data, name), name)
    except DataError:
        return {}
    return found if isinstance(found, dict) else {}
