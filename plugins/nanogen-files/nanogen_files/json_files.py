"""Read JSON files. Rejects duplicate keys. Syntax errors name the line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nanogen_files import text_files
from nanogen_files.errors import DataError, shown
from nanogen_files.reading import read_bytes

MOST_BYTES = 1 << 26  # 64 MiB; parsed values take many times the size of the text
MAX_SIZE = 1_000_000_000  # integers in a model's configuration are below it


class _DuplicateKeyError(ValueError):
    """An object contains a key twice."""


def parse(text: str, name: str) -> Any:
    """Parse a JSON text.

    Args:
        text: The JSON text.
        name: Name of the text in error messages.

    Raises:
        DataError: The text is not valid JSON (the message gives line and column), has a duplicate key, or exceeds a
            limit of Python on nesting or on digits.
    """
    try:
        return json.loads(text, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise DataError(f"{name} is not valid JSON: {error.msg} ({place}). Correct it.") from error
    except _DuplicateKeyError as error:
        raise DataError(f"{name} cannot be read as JSON: {error}. Remove one.") from error
    except RecursionError as error:
        raise DataError(f"{name} cannot be read as JSON: its values are nested too deeply. Flatten them.") from error
    except ValueError as error:  # Python limits the digits of an integer
        raise DataError(f"{name} cannot be read as JSON: an integer has too many digits. Shorten it.") from error


def read(path: Path) -> Any:
    """Read a JSON file. Raises DataError if it cannot be read or parsed."""
    return parse(text_files.decode(read_bytes(path, MOST_BYTES), str(path)), str(path))


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON file that contains an object. Raises DataError for any other value."""
    value = read(path)
    if not isinstance(value, dict):
        raise DataError(f"{path} must contain a JSON object `{{...}}`. Check that it is the right file.")
    return value


def whole_number(values: Mapping[str, Any], key: str, path: object) -> int:
    """Return `values[key]`, a positive integer below 10^9.

    Args:
        values: Content of a JSON file.
        key: Key to look up.
        path: Path of the file, for the error message.

    Raises:
        DataError: The key is missing, or its value is not such an integer.
    """
    value = values.get(key)
    if type(value) is not int or not 0 < value < MAX_SIZE:
        written = "missing" if key not in values else shown(value)
        raise DataError(f"`{key}` of {path} is {written}, but must be a positive integer below 10^9. Correct it.")
    return value


def objects(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line number, object) of a JSON Lines file. Skips blank lines.

    Raises:
        DataError: A line is not a JSON object. Names the line.
    """
    for number, line in enumerate(text_files.lines(text_files.read(path)), start=1):
        if not line.strip():
            continue
        value = parse(line, f"Line {number} of {path}")
        if not isinstance(value, dict):
            raise DataError(f"Line {number} of {path} is not a JSON object: write one `{{...}}` per line.")
        yield number, value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    written = dict(pairs)
    if len(written) < len(pairs):
        keys = [key for key, _ in pairs]
        duplicate = next(key for key in keys if keys.count(key) > 1)
        raise _DuplicateKeyError(f"the key {duplicate[:40]!r} occurs twice in one object")
    return written
