"""Read text files: UTF-8, or UTF-16 with a byte order mark. Lines end at line feeds only."""

from __future__ import annotations

import codecs
from pathlib import Path

from nanogen_files.errors import DataError
from nanogen_files.reading import read_bytes

MARKS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}


def decode(data: bytes, name: str) -> str:
    """Decode bytes to a text without byte order mark, with line feeds as line ends.

    Args:
        data: Content of the file.
        name: Name of the file in error messages.

    Raises:
        DataError: The bytes have another encoding, or contain a NUL character. Names the line.
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
        raise DataError(
            f"{name} has a NUL character in line {line}. Check that it is the right file, and save it as UTF-8 text."
        )
    text = text.lstrip("\ufeff")  # concatenated files may have two marks
    return text.replace("\r\n", "\n")


def read(path: Path) -> str:
    """Read a text file. Raises DataError if it cannot be read or decoded."""
    return decode(read_bytes(path), str(path))


def lines(text: str) -> list[str]:
    """Split a text at line feeds.

    `str.splitlines` also splits at form feeds, U+0085 and U+2028, which other programs keep inside a line.
    """
    parts = text.split("\n")
    if not parts[-1]:
        parts.pop()
    return parts


def entries(path: Path, kind: str) -> list[str]:
    """Read a file with one entry per line.

    Args:
        path: Text file.
        kind: What an entry is, such as `"caption"`, for the error message.

    Raises:
        DataError: The file cannot be read, or a line is blank, which would shift all later entries.
    """
    values = lines(read(path))
    blank = next((number for number, line in enumerate(values, start=1) if not line.strip()), None)
    if blank is not None:
        raise DataError(f"Line {blank} of {path} is blank: write one {kind} per line, without blank lines.")
    return values
