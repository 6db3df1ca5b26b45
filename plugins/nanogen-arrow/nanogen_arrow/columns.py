"""Which columns hold images, labels and captions: those that are named, or those that look like it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow  # type: ignore[import-untyped]

from nanogen_arrow.config import ArrowConfig
from nanogen_core.errors import DataError, listing, near_miss

LABELS = ("label", "labels", "cls", "class")
CAPTIONS = ("caption", "text", "prompt", "captions")


class Columns(NamedTuple):
    """Names; None for what a table lacks."""

    image: str
    label: str | None
    caption: str | None


def columns_of(schema: pyarrow.Schema, config: ArrowConfig, path: Path) -> Columns:
    """The columns of a table. Raises DataError for a named one that is not there, and for a table without images."""
    for name in filter(None, (config.image, config.label, config.caption)):
        if name not in schema.names:
            raise DataError(
                f"{path} has no column {name!r}, only: {listing(schema.names)}.{near_miss(name, schema.names)}"
            )
    image = config.image or next((field.name for field in schema if _holds_bytes(field.type)), None)
    if image is None:
        raise DataError(
            f"{path} has no column of images (bytes, or a struct with `bytes`), only: {listing(schema.names)}."
        )
    label = config.label or next(iter([*_named_labels(schema), *_usual(schema, LABELS)]), None)
    return Columns(image, label, config.caption or next(iter(_usual(schema, CAPTIONS)), None))


def class_names(schema: pyarrow.Schema, label: str | None) -> tuple[str, ...]:
    """The names that Hugging Face's features give to the labels of a column; empty where there are none."""
    return tuple(_features(schema).get(label, {}).get("names", ()))


def _holds_bytes(kind: pyarrow.DataType) -> bool:
    if pyarrow.types.is_struct(kind):
        return kind.get_field_index("bytes") >= 0
    return bool(pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind))


def _named_labels(schema: pyarrow.Schema) -> list[str]:
    return [name for name, feature in _features(schema).items() if feature.get("_type") == "ClassLabel"]


def _usual(schema: pyarrow.Schema, names: tuple[str, ...]) -> list[str]:
    return [name for name in names if name in schema.names]


def _features(schema: pyarrow.Schema) -> dict[Any, dict[str, Any]]:
    described = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
    features = described.get("info", {}).get("features", {})
    return {name: feature for name, feature in features.items() if isinstance(feature, dict)}
