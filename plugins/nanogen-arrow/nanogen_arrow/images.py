"""From a cell of a table to a picture: its bytes, or the file that its path names."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow  # type: ignore[import-untyped]
import pyarrow.compute as compute  # type: ignore[import-untyped]
from PIL import Image
from pyarrow import types

from nanogen_core.errors import shown
from nanogen_data.corrupt import CorruptSampleError
from nanogen_data.pictures import decode_image, read_image
from nanogen_files.reading import is_file


def picture(cell: object, root: Path, file: Path, place: str) -> Image.Image:
    """The RGB picture of a cell. `root` is the dataset's folder, `file` the table. Raises BadExample, with `place`."""
    data, path = _parts(cell)
    if data is not None:
        return decode_image(data, place)
    if path is None:
        raise CorruptSampleError(
            "no image", f"The image {place} has neither bytes nor a path: give it one or take it away."
        )
    return read_image(image_file(path, root, file, place))


def image_file(path: str, root: Path, file: Path, place: str) -> Path:
    """The file of an image that a table names by its path, seen from the table's folder or from the dataset's.

    Raises BadExample where it lies outside the dataset, or there is no such file.
    """
    homes = dict.fromkeys((file.parent, root))
    inside = os.path.abspath(root)
    for home in homes:
        found = Path(os.path.abspath(home / path))  # not resolved: links inside the dataset are the user's own
        if found.is_relative_to(inside) and is_file(found):
            return found
    raise CorruptSampleError(
        "no image file",
        f"The image {place} is the path {shown(path, 200)} without bytes, and there is no such file inside {root}: "
        f"put it there, or write the bytes into the table.",
    )


def paths_without_bytes(column: pyarrow.ChunkedArray) -> set[str]:
    """The paths in a column of images that stand there without bytes; none where the column is damaged."""
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
    except (pyarrow.ArrowException, ValueError):  # reading a row says what is wrong with it
        return set()


def _parts(cell: object) -> tuple[bytes | None, str | None]:
    """Bytes and path."""
    if isinstance(cell, dict):
        data, path = cell.get("bytes"), cell.get("path")
    else:
        data, path = (cell, None) if isinstance(cell, bytes) else (None, cell)
    return data if isinstance(data, bytes) else None, path if isinstance(path, str) and path else None
