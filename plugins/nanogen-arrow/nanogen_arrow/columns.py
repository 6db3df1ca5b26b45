"""Which columns hold images, labels and captions: those that are named, or the only ones that can be meant."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow  # type: ignore[import-untyped]
from pyarrow import types

from nanogen_arrow.config import ArrowConfig
from nanogen_arrow.features import features, of_type
from nanogen_core.errors import DataError, listing, near_miss

IMAGE, LABEL, CAPTION = "image", "label", "caption"
LABELS = ("labels", "cls", "class")
CAPTIONS = ("captions", "text", "prompt")
CONDITIONS = {"labels": LABEL, "captions": CAPTION}  # by the view of a task


def image_column(schema: pyarrow.Schema, config: ArrowConfig, path: Path) -> str:
    """The column of the images: bytes, a struct of `bytes` and `path`, or paths where it is called `image`.

    Raises DataError where there is none, or several.
    """
    described = of_type(features(schema, path), "Image")
    likely = [name for name in described if name in schema.names] or [f.name for f in schema if _is_image(f.type)]
    column = _chosen(schema, IMAGE, config.image, likely, path)
    if column is None:
        raise DataError(
            f"{path} has no column of images (bytes, or a struct with `bytes` or `path`), only: "
            f"{listing(schema.names)}. Set `dataset.image` to one of them."
        )
    kind = schema.field(column).type
    if not (_is_image(kind) or _is_text(kind)):
        raise DataError(
            f"The column {column!r} of {path} is {kind}, and images are bytes, a struct with `bytes` or `path`, or "
            f"paths: set `dataset.image` to another column."
        )
    return column


def condition_column(schema: pyarrow.Schema, config: ArrowConfig, path: Path, view: str) -> str | None:
    """The column of the labels or captions; None where there is none. Raises DataError where there are several, and for
    captions that are neither texts nor lists of texts."""
    if view == "labels":
        likely = [*of_type(features(schema, path), "ClassLabel"), *LABELS]
        return _chosen(schema, LABEL, config.label, likely, path)
    column = _chosen(schema, CAPTION, config.caption, CAPTIONS, path)
    if column is not None and not _is_caption(schema.field(column).type):
        raise DataError(
            f"The column {column!r} of {path} is {schema.field(column).type}, and captions are texts or lists of "
            f"texts: set `dataset.caption` to another column."
        )
    return column


def has_captions(schema: pyarrow.Schema) -> bool:
    """Whether a table has a column that may hold captions."""
    return any(name in schema.names for name in (CAPTION, *CAPTIONS))


def _chosen(schema: pyarrow.Schema, exact: str, named: str | None, likely: Sequence[str], path: Path) -> str | None:
    """The column that is named, or is called exactly so, or is the only likely one."""
    if named is not None and named not in schema.names:
        raise DataError(
            f"{path} has no column {named!r}, only: {listing(schema.names)}.{near_miss(named, schema.names)}"
        )
    found = list(dict.fromkeys(name for name in likely if name in schema.names))
    column = named or (exact if exact in schema.names else None)
    if column is None and len(found) > 1:
        raise DataError(
            f"{path} has several columns that may be the {exact}s: {listing(found)}. Set `dataset.{exact}` to the one "
            f"that is meant."
        )
    column = column or next(iter(found), None)
    if column is not None and schema.names.count(column) > 1:
        raise DataError(f"{path} has {schema.names.count(column)} columns named {column!r}: rename all but one.")
    return column


def _is_image(kind: pyarrow.DataType) -> bool:
    if types.is_struct(kind):
        fields = {field.name: field.type for field in kind}
        known = [(_is_bytes, fields.get("bytes")), (_is_text, fields.get("path"))]
        there = [(right, kind) for right, kind in known if kind is not None]
        return bool(there) and all(right(kind) or types.is_null(kind) for right, kind in there)
    return _is_bytes(kind)


def _is_bytes(kind: pyarrow.DataType) -> bool:
    return bool(types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind))


def _is_text(kind: pyarrow.DataType) -> bool:
    if types.is_dictionary(kind):
        return _is_text(kind.value_type)
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _is_caption(kind: pyarrow.DataType) -> bool:
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return _is_text(kind.value_type)
    return _is_text(kind) or _is_bytes(kind)
