"""JSON files that contain the SHA-256 of their values, which is checked on reading."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from nanogen_core.errors import DataError
from nanogen_files import storage

SEAL = "sha256"


def sealed(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values with their hash under the key `sha256`."""
    return {**values, SEAL: _hash(values)}


def is_sealed(values: Mapping[str, Any]) -> bool:
    """Return whether the hash under `sha256` matches the other values."""
    return values.get(SEAL) == _hash({key: value for key, value in values.items() if key != SEAL})


def write(path: Path, values: Mapping[str, Any]) -> None:
    """Write values and their hash as a JSON file."""
    storage.write_json(path, sealed(values))


def read(path: Path) -> Mapping[str, Any]:
    """Read a file that `write` wrote. Raises DataError if it is damaged."""
    try:
        values = storage.read_json(path)
    except DataError as error:
        raise DataError(f"{error} Or delete the file, and its values are computed again.") from error
    if not isinstance(values, dict) or not is_sealed(values):
        raise DataError(
            f"{path} is damaged: its SHA-256 does not match. Delete the file, and its values are computed again."
        )
    return values


def _hash(values: Mapping[str, Any]) -> str:
    return sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
