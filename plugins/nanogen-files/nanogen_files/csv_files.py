"""Read CSV files with a header. An error about a row gives its line number."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from nanogen_files import text_files
from nanogen_files.errors import DataError, counted, listing


class Row(NamedTuple):
    """A data row: the number of its first line, and its cells by column name."""

    line: int
    cells: dict[str, str]


def read(path: Path, required: Sequence[str]) -> list[Row]:
    """Read the rows of a CSV file.

    Args:
        path: CSV file with a header line.
        required: Columns that the header must contain.

    Raises:
        DataError: The file cannot be read, its header lacks or repeats a column, or a row is malformed.
    """
    return list(parse(text_files.read(path), str(path), required))


def parse(text: str, name: str, required: Sequence[str] = ()) -> Iterator[Row]:
    """Yield the rows of a CSV text with a header. Skips empty lines.

    Args:
        text: Content of the file.
        name: Name of the file in error messages.
        required: Columns that the header must contain.

    Raises:
        DataError: The header lacks or repeats a column, or a row is malformed.
    """
    records = _records(text, name)
    _, header = next(records, (1, []))
    columns = [cell.strip() for cell in header]
    _refuse_header(columns, name, required)
    for line, cells in records:
        if len(cells) != len(columns):
            raise DataError(
                f"Line {line} of {name} has {counted(len(cells), 'cell')}, but the header has {len(columns)}: write"
                f" one cell per column, and quote cells that contain a comma."
            )
        yield Row(line, dict(zip(columns, cells, strict=True)))


def _records(text: str, name: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader((f"{line}\n" for line in text.split("\n")), strict=True)  # lines end at "\n" only
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(f"Line {line} of {name} is not valid CSV: {_reason(error)}. Correct it.") from error
        if cells:
            yield line, cells


def _reason(error: csv.Error) -> str:
    text = str(error)
    return "an unquoted cell contains a carriage return" if text.startswith("new-line") else text


def _refuse_header(columns: Sequence[str], name: str, required: Sequence[str]) -> None:
    duplicate = next((column for column in columns if columns.count(column) > 1), None)
    if duplicate is not None:
        raise DataError(f"{name} has two columns named {duplicate!r}: rename one.")
    missing = [column for column in required if column not in columns]
    if not missing:
        return
    separator = next((mark for mark in (";", "\t") if len(columns) == 1 and mark in columns[0]), None)
    hint = f"Its columns are separated by {separator!r}: use commas." if separator else "Name them in the first line."
    raise DataError(
        f"{name} needs a header with the columns {' and '.join(f'`{column}`' for column in required)}, but it has: "
        f"{listing(columns)[:200]}. {hint}"
    )
