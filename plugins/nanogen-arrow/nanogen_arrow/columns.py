"""Chooses the columns of images, labels and captions by the options, by type and by usual names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow
from pyarrow import types

from nanogen_arrow.config import ArrowConfig
from nanogen_arrow.features import features, of_type
from nanogen_core.errors import DataError, listing, near_miss
from nanogen_data.captions import numbered

IMAGE, LABEL, CAPTION = "image", "label", "caption"
LABELS = ("labels", "cls", "class")
CAPTIONS = ("captions", "text", "prompt")
CONDITIONS = {"labels": LABEL, "captions": CAPTION}  # view -> option of its column


def image_column(schema: pyarrow.Schema, config: ArrowConfig, path: Path) -> str:
    """Choose the column of images.

    The column holds bytes, or structs with `bytes` or `path`. It may also hold paths if it is set in the options, is
    named `image`, or has the Hugging Face feature `Image`.

    Args:
        schema: The columns.
        config: The options.
        path: The file, for error messages.

    Raises:
        DataError: The column in the options is missing, there is no candidate or more than one, or the chosen column
            holds other values.
    """
    described = of_type(features(schema, path), "Image")
    likely = [name for name in described if name in schema.names] or [f.name for f in schema if _is_image(f.type)]
    column = _chosen(schema, IMAGE, config.image, likely, path)
    if column is None:
        raise DataError(
            f"{path} has no column of images (bytes, or a struct with `bytes` or `path`). It has: "
            f"{listing(schema.names)}. Set `dataset.image` to one of them."
        )
    kind = schema.field(column).type
    if not (_is_image(kind) or _is_text(kind)):
        raise DataError(
            f"The column {column!r} of {path} has the type {kind}, but images must be bytes, structs with `bytes` or "
            f"`path`, or paths. {_set(IMAGE, 'another column')}"
        )
    return column


def condition_column(schema: pyarrow.Schema, config: ArrowConfig, path: Path, view: str) -> str | None:
    """Choose the column of labels or captions.

    Args:
        schema: The columns.
        config: The options.
        path: The file, for error messages.
        view: `"labels"` or `"captions"`.

    Returns:
        The column, or None if there is none.

    Raises:
        DataError: The column in the options is missing, several columns are candidates, or captions are not texts,
            bytes or lists of texts.
    """
    if view == "labels":
        likely = [*of_type(features(schema, path), "ClassLabel"), *LABELS]
        return _chosen(schema, LABEL, config.label, likely, path)
    column = _chosen(schema, CAPTION, config.caption, CAPTIONS, path)
    if column is not None:
        _refuse_no_caption(schema, column, CAPTION, path)
    return column


def _refuse_no_caption(schema: pyarrow.Schema, column: str, option: str, path: Path) -> None:
    if not _is_caption(schema.field(column).type):
        raise DataError(
            f"The column {column!r} of {path} has the type {schema.field(column).type}, but captions must be "
            f"texts or lists of texts. {_set(option, 'another column')}"
        )


def caption_columns(schema: pyarrow.Schema, config: ArrowConfig, path: Path) -> dict[str, tuple[str, int | None]]:
    """Return, for each key of the option `captions`, its column and the number of the caption in each list.

    Numbers count from 1; None stands for all captions. Raises DataError for a column that is missing, or that does not
    hold texts, bytes or lists of texts.
    """
    found: dict[str, tuple[str, int | None]] = {}
    for key in config.captions:
        column, number = (key, None) if key in schema.names else numbered(key)
        _chosen(schema, "captions", column, (), path)
        _refuse_no_caption(schema, column, "captions", path)
        found[key] = (column, number)
    return found


def has_captions(schema: pyarrow.Schema) -> bool:
    """Return whether a table has a column with a usual name of captions."""
    return any(name in schema.names for name in (CAPTION, *CAPTIONS))


def _chosen(schema: pyarrow.Schema, exact: str, named: str | None, likely: Sequence[str], path: Path) -> str | None:
    """Return the column in the options, or the one called `exact`, or the only likely one; None if there is none."""
    if named is not None and named not in schema.names:
        raise DataError(
            f"{path} has no column {named!r}. It has: {listing(schema.names)}.{near_miss(named, schema.names)} "
            f"{_set(exact, 'one of them')}"
        )
    found = list(dict.fromkeys(name for name in likely if name in schema.names))
    column = named or (exact if exact in schema.names else None)
    if column is None and len(found) > 1:
        raise DataError(
            f"{path} has several columns that could be the {exact}s: {listing(found)}. Set `dataset.{exact}` to one of "
            f"them."
        )
    column = column or next(iter(found), None)
    if column is not None and schema.names.count(column) > 1:
        raise DataError(f"{path} has {schema.names.count(column)} columns named {column!r}. Rename all but one.")
    return column


def _set(option: str, column: str) -> str:
    """Return the advice to choose a column. The keys of the option `captions` are columns."""
    if option == "captions":
        return f"Use {column} as a key of `dataset.captions`."
    return f"With the dataset `arrow`, set `dataset.{option}` to {column}."  # other datasets have fixed columns


def _is_image(kind: pyarrow.DataType) -> bool:
    if types.is_struct(kind):
        fields = {field.name: field.type for field in kind}
        known = [(_is_bytes, fields.get("bytes")), (_is_text, fields.get("path"))]
        present = [(is_valid, kind) for is_valid, kind in known if kind is not None]
        return bool(present) and all(is_valid(kind) or types.is_null(kind) for is_valid, kind in present)
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
