"""Comma-separated files: every row has as many cells as the header, and errors name the line."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from nanogen_files import text_files
from nanogen_files.errors import DataError, listing


class Row(NamedTuple):
    """The cells of a row by their columns, and the line on which it begins."""

    line: int
    cells: dict[str, str]


def read(path: Path, needed: Sequence[str]) -> list[Row]:
    """The rows of a file whose header has at least the columns `needed`. Raises DataError, with the line."""
    return list(parse(text_files.read(path), str(path), needed))


def parse(text: str, name: str, needed: Sequence[str] = ()) -> Iterator[Row]:
    """The rows of a text with a header. Raises DataError, with `name` and the line. Blank lines are passed over."""
    records = _records(text, name)
    _, header = next(records, (1, []))
    columns = [cell.strip() for cell in header]
    _refuse_header(columns, name, needed)
    for line, cells in records:
        if len(cells) != len(columns):
            raise DataError(
                f"Line {line} of {name} has {len(cells)} cells, and its header {len(columns)}: quote a cell that has a "
                f"comma in it."
            )
        yield Row(line, dict(zip(columns, cells, strict=True)))


def _records(text: str, name: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader((f"{line}\n" for line in text.split("\n")), strict=True)  # at line feeds alone
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(f"{name} is no comma-separated file in line {line}: {_reason(error)}.") from error
        if cells:
            yield line, cells


def _reason(error: csv.Error) -> str:
    text = str(error)
    return "a carriage return stands inside a cell without quotes" if text.startswith("new-line") else text


def _refuse_header(columns: Sequence[str], name: str, needed: Sequence[str]) -> None:
    twice = next((column for column in columns if columns.count(column) > 1), None)
    if twice is not None:
        raise DataError(f"{name} has two columns named {twice!r}: rename one.")
    missing = [column for column in needed if column not in columns]
    if not missing:
        return
    mark = next((mark for mark in (";", "\t") if len(columns) == 1 and mark in columns[0]), None)
    hint = f" Its columns are separated by {mark!r}: separate them by commas." if mark else ""
    raise DataError(
        f"{name} needs a first line with the columns {' and '.join(f'`{column}`' for column in needed)}; it has: "
        f"{listing(columns)[:200]}.{hint}"
    )
