"""Open files that a user names, with clear errors."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from operator import attrgetter
from pathlib import Path
from typing import BinaryIO

from nanogen_files.errors import DataError
from nanogen_files.hub import address_folder, is_address

MOST_BYTES = 1 << 28  # 256 MiB; a larger text file is probably the wrong file


def user_path(text: str) -> Path:
    """Return the path that a user typed, with `~` expanded. Raises DataError if it is not a valid path.

    For an address `hf://user/name[@revision]`, downloads the pipeline from the hub and returns its local folder.
    """
    if not text.strip():
        raise DataError("The path is empty: give a path, or `.` for the current folder.")
    if "\0" in text:
        raise DataError(f"{text!r} is not a valid path: remove its NUL character.")
    if is_address(text):
        return address_folder(text)
    try:
        return Path(text).expanduser()
    except RuntimeError as error:  # ~nobody
        raise DataError(f"{text!r} begins with the home folder of an unknown user: write the full path.") from error


def reason(error: OSError) -> str:
    """Return a readable reason for an OSError, such as `"the file does not exist; check the path"`."""
    if isinstance(error, PermissionError):
        return "permission denied for this user; change the mode or the owner"
    if isinstance(error, FileNotFoundError):
        return "the file does not exist; check the path"
    if isinstance(error, IsADirectoryError):
        return "it is a folder, not a file; give a file in it"
    return f"{error.strerror or error}; check the path and its disk"


def read_bytes(path: Path, most: int = MOST_BYTES) -> bytes:
    """Read a regular file. Raises DataError if it cannot be read or has more than `most` bytes."""
    with opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise DataError(
                f"{path} has {size:,} bytes, more than the limit of {most:,} for this kind of file: check the path."
            )
        return file.read(most)


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open a regular file for reading. Raises DataError if it cannot be opened or a read fails."""
    try:
        file = open(path, "rb", opener=_open_nonblocking)  # noqa: SIM115
    except OSError as error:
        raise DataError(f"{path} cannot be read: {reason(error)}.") from error
    except ValueError as error:  # a NUL in the path
        raise DataError(f"{str(path)!r} is not a valid file path ({error}). Correct it.") from error
    with file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise DataError(f"{path} is not a regular file: save its content to a file.")
        try:
            yield file
        except OSError as error:
            raise DataError(f"{path} cannot be read: {reason(error)}.") from error


def _open_nonblocking(path: str, flags: int) -> int:
    """Open without blocking on a named pipe that has no writer."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def is_folder(path: Path) -> bool:
    """Return whether the folder exists. Raises DataError if the check fails, such as without permission."""
    mode = _mode(path)
    return mode is not None and stat.S_ISDIR(mode)


def is_file(path: Path) -> bool:
    """Return whether the regular file exists. Raises DataError if the check fails, such as without permission."""
    mode = _mode(path)
    return mode is not None and stat.S_ISREG(mode)


def _mode(path: Path) -> int | None:
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a NUL in the path
        return None
    except OSError as error:
        if error.errno in (errno.ENAMETOOLONG, errno.ELOOP):  # ELOOP: a link to itself
            return None
        raise DataError(f"{path} cannot be read: {reason(error)}.") from error


def entries(folder: Path) -> list[os.DirEntry[str]]:
    """Return the entries of a folder in alphabetical order. Raises DataError if it cannot be listed."""
    try:
        with os.scandir(folder) as listing:
            return sorted(listing, key=attrgetter("name"))
    except OSError as error:
        raise DataError(f"The folder {folder} cannot be read: {reason(error)}.") from error
