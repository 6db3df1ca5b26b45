"""JSON files that carry the SHA-256 of their values. Reading one checks it."""

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
    """The values, and under `sha256` the hash of their JSON text with sorted keys."""
    return {**values, SEAL: _hash(values)}


def is_sealed(values: Mapping[str, Any]) -> bool:
    """Whether the values are those that the hash among them is of."""
    return values.get(SEAL) == _hash({key: value for key, value in values.items() if key != SEAL})


def write(path: Path, values: Mapping[str, Any]) -> None:
    storage.write_json(path, sealed(values))


def read(path: Path) -> Mapping[str, Any]:
    """What `write` wrote. Raises DataError where it is damaged."""
    try:
        values = storage.read_json(path)
    except DataError as error:
        raise DataError(f"{error} Delete it, and its part of the work is done again.") from error
    if not isinstance(values, dict) or not is_sealed(values):
        raise DataError(
            f"{path} is damaged: it is not as it was written (SHA-256). Delete it, and its part of the work is done"
            " again."
        )
    return values


def _hash(values: Mapping[str, Any]) -> str:
    return sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
