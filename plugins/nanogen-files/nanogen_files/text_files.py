"""The one reader of text files and captions: UTF-8, or UTF-16 with a byte order mark, split at line feeds alone."""

from __future__ import annotations

import codecs
from pathlib import Path

from nanogen_files.errors import DataError
from nanogen_files.reading import read_bytes

MARKS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}


def decode(data: bytes, name: str) -> str:
    """The text without its byte order mark, its lines ended by line feeds alone.

    Raises DataError, with `name` and the line, for another encoding.
    """
    mark = next((mark for mark in MARKS if data.startswith(mark)), b"")
    encoding = MARKS.get(mark, "utf-8")
    body = data[len(mark) :]
    try:
        text = body.decode(encoding)
    except UnicodeDecodeError as error:
        line = body[: error.start].decode(encoding, "ignore").count("\n") + 1
        wrong = body[error.start : error.start + 1].hex()
        raise DataError(
            f"{name} is not {encoding.upper()} in line {line} (byte 0x{wrong}): save it as UTF-8."
        ) from error
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise DataError(f"{name} has a NUL character in line {line}: it is no text, or not saved as UTF-8.")
    text = text.lstrip("\ufeff")  # files that were put together may have two marks
    return text.replace("\r\n", "\n")


def read(path: Path) -> str:
    """The text of a file. Raises DataError where it cannot be read."""
    return decode(read_bytes(path), str(path))


def lines(text: str) -> list[str]:
    """The lines of a text: what line feeds end.

    `str.splitlines` also splits at form feeds, U+0085 and U+2028, which other programs keep inside a line.
    """
    found = text.split("\n")
    if not found[-1]:
        found.pop()
    return found


def entries(path: Path, what: str) -> list[str]:
    """The lines of a file with one entry a line. Raises DataError for a blank line, after which all would shift."""
    found = lines(read(path))
    blank = next((number for number, line in enumerate(found, start=1) if not line.strip()), None)
    if blank is not None:
        raise DataError(f"Line {blank} of {path} is blank: write one {what} on each line, and nothing between them.")
    return found
