"""Reads tables in pieces: a memory-mapped Arrow file, or a row group of a parquet file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow
import pyarrow.parquet

from nanogen_core.errors import DataError, NanoGenError
from nanogen_data.corrupt import CorruptSampleError
from nanogen_files.reading import reason

CACHED = 8  # pieces in the memory of each process
PARQUET = ".parquet"


class Piece(NamedTuple):
    """A piece of a table. `size` and `changed` (time of modification) are part of the cache key: a changed file is read
    again."""

    path: Path
    size: int  # of the file, in bytes
    changed: int  # modification time of the file, in nanoseconds
    group: int = 0  # row group of a parquet file
    first: int = 0  # number of its first row in the file


def pieces_of(path: Path) -> list[tuple[Piece, int]]:
    """Return the pieces of a file and the number of rows of each. Raises DataError for a damaged file."""
    with _reading(path):
        state = path.stat()
        whole = Piece(path, state.st_size, state.st_mtime_ns)
        if path.suffix != PARQUET:
            return [(whole, _stream(path).num_rows)]
        metadata = pyarrow.parquet.ParquetFile(path, memory_map=True).metadata
        found, first = [], 0
        for group in range(metadata.num_row_groups):
            rows = metadata.row_group(group).num_rows
            found.append((whole._replace(group=group, first=first), rows))
            first += rows
        return found


def schema_of(path: Path) -> pyarrow.Schema:
    """Return the schema of a file, with its metadata. Raises DataError for a damaged file."""
    with _reading(path):
        if path.suffix == PARQUET:
            schema = pyarrow.parquet.ParquetFile(path, memory_map=True).schema_arrow
        else:
            schema = _stream(path).schema
        _ = schema.names, schema.to_string()  # raises for names that are not UTF-8
        return schema


@lru_cache(maxsize=CACHED)
def read_piece(piece: Piece, columns: tuple[str, ...]) -> pyarrow.Table:
    """Read columns of a piece. Raises DataError for a damaged file."""
    with _reading(piece.path):
        if piece.path.suffix != PARQUET:
            return _stream(piece.path).select(list(columns))
        file = pyarrow.parquet.ParquetFile(piece.path, memory_map=True)
        return file.read_row_group(piece.group, columns=list(columns), use_threads=False)


def read_column(path: Path, column: str) -> pyarrow.ChunkedArray:
    """Read a column of a whole file. Raises DataError for a damaged file."""
    with _reading(path):
        if path.suffix != PARQUET:
            return _stream(path).column(column)
        return pyarrow.parquet.ParquetFile(path, memory_map=True).read([column], use_threads=False).column(column)


def without_nulls(piece: Piece, column: str) -> bool:
    """Return whether the statistics of a row group say that a column has no null. False if unknown.

    Args:
        piece: The row group. The result is False for a piece of an Arrow file.
        column: Path of the column in the schema, such as `image.bytes`.
    """
    if piece.path.suffix != PARQUET:
        return False
    with _reading(piece.path):
        group = pyarrow.parquet.ParquetFile(piece.path, memory_map=True).metadata.row_group(piece.group)
        columns = [group.column(number) for number in range(group.num_columns)]
        found = [one.statistics for one in columns if one.path_in_schema == column]
        return bool(found) and all(one is not None and one.has_null_count and not one.null_count for one in found)


def value(table: pyarrow.Table, column: str, row: int, place: str) -> Any:
    """Read a cell as a Python value.

    Args:
        place: Where the cell is, for error messages.

    Raises:
        CorruptSampleError: The cell is damaged.
    """
    cell = table.column(column).slice(row, 1)
    try:
        cell.validate(full=True)  # a wrong offset in a memory-mapped file would read out of bounds
        return cell[0].as_py()
    except (pyarrow.ArrowException, ValueError) as error:
        raise CorruptSampleError(
            "damaged cell", f"The cell {column!r} {place} is damaged ({_first_line(error)}). Write the table again."
        ) from error


def _stream(path: Path) -> pyarrow.Table:
    table = pyarrow.ipc.open_stream(pyarrow.memory_map(str(path))).read_all()
    table.validate()
    return table


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Convert errors of a damaged file to DataError. pyarrow raises errors of many types."""
    try:
        yield
    except NanoGenError:
        raise
    except PermissionError as error:
        raise DataError(f"{path} cannot be read: {reason(error)}. Give this user access to it.") from error
    except Exception as error:
        kind = "a whole parquet file" if path.suffix == PARQUET else "a whole Arrow stream"
        raise DataError(
            f"{path} is not {kind}, or is damaged ({_first_line(error)}). Download or write it again."
        ) from error


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0][:200] or type(error).__name__
