"""Reads the images of table cells: from bytes, or from files by path."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow
import pyarrow.compute as compute
from PIL import Image
from pyarrow import types

from nanogen_core.errors import shown
from nanogen_data.corrupt import CorruptSampleError
from nanogen_data.pictures import decode_image, read_image
from nanogen_files.reading import is_file


def read_cell_image(cell: object, root: Path, file: Path, place: str) -> Image.Image:
    """Read the RGB image of a cell.

    Args:
        cell: Bytes, a path, or a mapping with `bytes` or `path`.
        root: The folder of the dataset.
        file: The table.
        place: Where the cell is, for error messages.

    Raises:
        CorruptSampleError: There is no image, or it is damaged.
    """
    data, path = _parts(cell)
    if data is not None:
        return decode_image(data, place)
    if path is None:
        raise CorruptSampleError(
            "no image", f"The image {place} has neither bytes nor a path. Add one of them, or remove the row."
        )
    return read_image(image_file(path, root, file, place))


def image_file(path: str, root: Path, file: Path, place: str) -> Path:
    """Return the file of an image. A relative path is looked up in the folder of the table, then in `root`.

    Args:
        path: The path in the table.
        root: The folder of the dataset.
        file: The table.
        place: Where the cell is, for error messages.

    Raises:
        CorruptSampleError: There is no such file inside `root`.
    """
    homes = dict.fromkeys((file.parent, root))
    inside = os.path.abspath(root)
    for home in homes:
        found = Path(os.path.abspath(home / path))  # not resolved: symbolic links may point out of the dataset
        if found.is_relative_to(inside) and is_file(found):
            return found
    raise CorruptSampleError(
        "no image file",
        f"The image {place} is the path {shown(path, 200)} without bytes, and there is no such file inside {root}. Put "
        f"it there, or write the bytes into the table.",
    )


def paths_without_bytes(column: pyarrow.ChunkedArray) -> set[str]:
    """Return the paths of those images in a column that have no bytes; empty for a damaged column."""
    kind = column.type
    if types.is_struct(kind):
        if kind.get_field_index("path") < 0:
            return set()
        paths = compute.struct_field(column, "path")
        if kind.get_field_index("bytes") >= 0:
            paths = compute.filter(paths, compute.is_null(compute.struct_field(column, "bytes")))
    elif types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind):
        return set()
    else:
        paths = column
    try:
        paths.validate(full=True)
        return {path for path in paths.unique().to_pylist() if path}
    except (pyarrow.ArrowException, ValueError):  # reading a row of the column reports the damage
        return set()


def _parts(cell: object) -> tuple[bytes | None, str | None]:
    """Return the bytes and the path of a cell."""
    if isinstance(cell, dict):
        data, path = cell.get("bytes"), cell.get("path")
    else:
        data, path = (cell, None) if isinstance(cell, bytes) else (None, cell)
    return data if isinstance(data, bytes) else None, path if isinstance(path, str) and path else None
