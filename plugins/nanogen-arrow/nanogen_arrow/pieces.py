"""Pieces of tables that are read at once: an Arrow file, which is mapped, or a row group of a parquet file."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import pyarrow  # type: ignore[import-untyped]
import pyarrow.parquet  # type: ignore[import-untyped]

from nanogen_core.errors import DataError

KEPT = 8  # pieces in memory, in each process
PARQUET = ".parquet"


class Piece(NamedTuple):
    """A file, and for parquet the row group in it."""

    path: Path
    number: int = 0


def pieces_of(path: Path) -> list[tuple[Piece, int]]:
    """The pieces of a file with their numbers of rows. Raises DataError for a damaged file."""
    if path.suffix != PARQUET:
        return [(Piece(path), read_piece(Piece(path)).num_rows)]
    metadata = _parquet(path).metadata
    return [(Piece(path, group), metadata.row_group(group).num_rows) for group in range(metadata.num_row_groups)]


def schema_of(path: Path) -> pyarrow.Schema:
    """The columns of a file, with the metadata that Hugging Face writes. Raises DataError for a damaged file."""
    return _parquet(path).schema_arrow if path.suffix == PARQUET else read_piece(Piece(path)).schema


@lru_cache(maxsize=KEPT)
def read_piece(piece: Piece) -> pyarrow.Table:
    """The rows of a piece. Raises DataError where the file is damaged."""
    try:
        if piece.path.suffix == PARQUET:
            return _parquet(piece.path).read_row_group(piece.number, use_threads=False)
        return pyarrow.ipc.open_stream(pyarrow.memory_map(str(piece.path))).read_all()
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{piece.path} is damaged ({error}): fetch or write it again.") from error


def _parquet(path: Path) -> pyarrow.parquet.ParquetFile:
    try:
        return pyarrow.parquet.ParquetFile(path, memory_map=True)
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{path} is not a whole parquet file ({error}): fetch it again.") from error
