"""What Hugging Face writes about the columns of a table: the metadata `huggingface` of its schema."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow  # type: ignore[import-untyped]

from nanogen_core.errors import DataError
from nanogen_files import json_files, text_files

KEY = b"huggingface"


def features(schema: pyarrow.Schema, path: Path) -> Mapping[str, Mapping[str, Any]]:
    """The description of each column that has one. Raises DataError for metadata of another form."""
    written = (schema.metadata or {}).get(KEY)
    if written is None:
        return {}
    name = f"The metadata `huggingface` of {path}"
    described = json_files.parse(text_files.decode(written, name), name)
    found = described
    for word in ("info", "features"):
        found = found.get(word) or {} if isinstance(found, dict) else None
    if not isinstance(found, dict):
        raise DataError(f"{name} is not of the form {{'info': {{'features': {{...}}}}}}: write the table again.")
    return {column: feature for column, feature in found.items() if isinstance(feature, dict)}


def of_type(described: Mapping[str, Mapping[str, Any]], word: str) -> list[str]:
    """The columns of a feature type, such as `"Image"`."""
    return [column for column, feature in described.items() if feature.get("_type") == word]


def class_names(schema: pyarrow.Schema, column: str | None, path: Path) -> tuple[str, ...]:
    """The names of a column's labels; empty where the metadata have none. Raises DataError for what are no texts."""
    names = features(schema, path).get(column or "", {}).get("names")
    if names is None:
        return ()
    if not isinstance(names, list) or not all(isinstance(name, str) and name.strip() for name in names):
        raise DataError(
            f"The metadata `huggingface` of {path} name the classes of {column!r} by something else than a list of "
            f"texts: write the table again."
        )
    return tuple(names)
