"""JSON of a user's files: one sentence for each thing that is wrong, and no key twice."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nanogen_files import text_files
from nanogen_files.errors import DataError, shown
from nanogen_files.reading import read_bytes

MOST_BYTES = 1 << 26  # 64 MiB; the values of a text take many times its room
MOST = 1_000_000_000  # of a size in a model's configuration


class _Twice(ValueError):
    """A key that an object holds twice."""


def parse(text: str, name: str) -> Any:
    """The value of a JSON text. Raises DataError, with `name` and the place."""
    try:
        return json.loads(text, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise DataError(f"{name} is no JSON: {error.msg} ({place}).") from error
    except _Twice as error:
        raise DataError(f"{name} is no JSON that can be read: {error}.") from error
    except RecursionError as error:
        raise DataError(f"{name} is no JSON that can be read: its values are nested too deeply.") from error
    except ValueError as error:  # Python reads whole numbers up to a limit of digits
        raise DataError(f"{name} is no JSON that can be read: a whole number in it has too many digits.") from error


def read(path: Path) -> Any:
    """The value of a JSON file. Raises DataError where it cannot be read."""
    return parse(text_files.decode(read_bytes(path, MOST_BYTES), str(path)), str(path))


def read_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file. Raises DataError for any other value."""
    value = read(path)
    if not isinstance(value, dict):
        raise DataError(f"{path} is no JSON object: write one `{{...}}` into it.")
    return value


def whole_number(values: Mapping[str, Any], key: str, path: object) -> int:
    """The positive whole number under a key of the file `path`. Raises DataError for anything else."""
    value = values.get(key)
    if type(value) is not int or not 0 < value < MOST:
        found = "missing" if key not in values else shown(value)
        raise DataError(f"`{key}` of {path} is {found}, and must be a whole number above 0.")
    return value


def objects(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a file with one on each line, with the numbers of their lines. Blank lines are passed over.

    Raises DataError, with the line, for what is no object.
    """
    for number, line in enumerate(text_files.lines(text_files.read(path)), start=1):
        if not line.strip():
            continue
        value = parse(line, f"Line {number} of {path}")
        if not isinstance(value, dict):
            raise DataError(f"Line {number} of {path} is no JSON object: write one `{{...}}` on each line.")
        yield number, value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise _Twice(f"the key {twice[:40]!r} stands twice in one object")
    return found
