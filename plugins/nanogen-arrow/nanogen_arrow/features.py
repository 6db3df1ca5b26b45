"""Reads the feature types of columns from the metadata `huggingface` of a schema."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow

from nanogen_core.errors import DataError
from nanogen_files import json_files, text_files

KEY = b"huggingface"
WRITE = "Write the table again with `to_parquet` of the library datasets, or without this metadata."


def features(schema: pyarrow.Schema, path: Path) -> Mapping[str, Mapping[str, Any]]:
    """Return the Hugging Face feature of each column that has one, such as `{"_type": "Image"}`.

    Raises DataError for metadata in another format.
    """
    written = (schema.metadata or {}).get(KEY)
    if written is None:
        return {}
    name = f"The metadata `huggingface` of {path}"
    described = json_files.parse(text_files.decode(written, name), name)
    found = described
    for word in ("info", "features"):
        found = found.get(word) or {} if isinstance(found, dict) else None
    if not isinstance(found, dict):
        raise DataError(f"{name} is not of the form {{'info': {{'features': {{...}}}}}}. {WRITE}")
    return {column: feature for column, feature in found.items() if isinstance(feature, dict)}


def of_type(described: Mapping[str, Mapping[str, Any]], word: str) -> list[str]:
    """Return the columns whose feature has the type `word`, such as `"Image"`."""
    return [column for column, feature in described.items() if feature.get("_type") == word]


def class_names(schema: pyarrow.Schema, column: str | None, path: Path) -> tuple[str, ...]:
    """Return the class names of a column; empty if the metadata has none.

    Raises DataError unless the names are a list of non-empty texts.
    """
    names = features(schema, path).get(column or "", {}).get("names")
    if names is None:
        return ()
    if not isinstance(names, list) or not all(isinstance(name, str) and name.strip() for name in names):
        raise DataError(
            f"The class names of {column!r} in the metadata `huggingface` of {path} are not a list of non-empty texts. "
            f"{WRITE}"
        )
    return tuple(names)
