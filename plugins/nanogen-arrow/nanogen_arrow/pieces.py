"""Pieces of tables that are read at once: an Arrow file, which is mapped, or a row group of a parquet file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow  # type: ignore[import-untyped]
import pyarrow.parquet  # type: ignore[import-untyped]

from nanogen_core.errors import DataError, NanoGenError
from nanogen_data.corrupt import CorruptSampleError
from nanogen_files.reading import reason

KEPT = 8  # pieces in memory, in each process
PARQUET = ".parquet"


class Piece(NamedTuple):
    """A file as it was when it was opened, and for parquet the row group in it, whose first row is `first`."""

    path: Path
    size: int
    changed: int
    group: int = 0
    first: int = 0


def pieces_of(path: Path) -> list[tuple[Piece, int]]:
    """The pieces of a file with their numbers of rows. Raises DataError for a damaged file."""
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
    """The columns of a file, with the metadata that Hugging Face writes. Raises DataError for a damaged file."""
    with _reading(path):
        if path.suffix == PARQUET:
            schema = pyarrow.parquet.ParquetFile(path, memory_map=True).schema_arrow
        else:
            schema = _stream(path).schema
        _ = schema.names, schema.to_string()  # names in a damaged file may be no UTF-8
        return schema


@lru_cache(maxsize=KEPT)
def read_piece(piece: Piece, columns: tuple[str, ...]) -> pyarrow.Table:
    """These columns of a piece. Raises DataError where the file is damaged."""
    with _reading(piece.path):
        if piece.path.suffix != PARQUET:
            return _stream(piece.path).select(list(columns))
        file = pyarrow.parquet.ParquetFile(piece.path, memory_map=True)
        return file.read_row_group(piece.group, columns=list(columns), use_threads=False)


def read_column(path: Path, column: str) -> pyarrow.ChunkedArray:
    """One column of a whole file. Raises DataError where the file is damaged."""
    with _reading(path):
        if path.suffix != PARQUET:
            return _stream(path).column(column)
        return pyarrow.parquet.ParquetFile(path, memory_map=True).read([column], use_threads=False).column(column)


def without_nulls(piece: Piece, column: str) -> bool:
    """Whether the statistics of a parquet file say that a column has no null in this piece."""
    if piece.path.suffix != PARQUET:
        return False
    with _reading(piece.path):
        group = pyarrow.parquet.ParquetFile(piece.path, memory_map=True).metadata.row_group(piece.group)
        columns = [group.column(number) for number in range(group.num_columns)]
        found = [one.statistics for one in columns if one.path_in_schema == column]
        return bool(found) and all(one is not None and one.has_null_count and not one.null_count for one in found)


def value(table: pyarrow.Table, column: str, row: int, place: str) -> Any:
    """A cell as a plain value. Raises BadExample, with `place`, for a damaged one."""
    cell = table.column(column).slice(row, 1)
    try:
        cell.validate(full=True)  # a mapped file is not checked before: a wrong offset would read foreign memory
        return cell[0].as_py()
    except (pyarrow.ArrowException, ValueError) as error:
        raise CorruptSampleError(
            "damaged cell", f"The cell {column!r} {place} is damaged ({_first_line(error)}): write it again."
        ) from error


def _stream(path: Path) -> pyarrow.Table:
    table = pyarrow.ipc.open_stream(pyarrow.memory_map(str(path))).read_all()
    table.validate()
    return table


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turns what pyarrow raises for damaged files, which its own errors are only a part of, into one sentence."""
    try:
        yield
    except NanoGenError:
        raise
    except PermissionError as error:
        raise DataError(f"{path} cannot be read: {reason(error)}.") from error
    except Exception as error:
        kind = "a whole parquet file" if path.suffix == PARQUET else "a whole Arrow stream"
        raise DataError(f"{path} is not {kind}, or damaged ({_first_line(error)}): fetch it again.") from error


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0][:200] or type(error).__name__
