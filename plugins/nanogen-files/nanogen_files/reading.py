"""Opens files that a user names, with one sentence for each thing that can be wrong with them."""

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

MOST_BYTES = 1 << 28  # of a text file, 256 MiB: a larger one is a wrong file and would fill the memory


def user_path(text: str) -> Path:
    """The path that a user typed, `~` expanded. Raises DataError for a text that names no path."""
    if not text.strip():
        raise DataError("An empty text names no file or folder: write its path, or `.` for the current folder.")
    if "\0" in text:
        raise DataError(f"{text!r} holds a NUL character, which no path has.")
    try:
        return Path(text).expanduser()
    except RuntimeError as error:  # ~nobody
        raise DataError(f"{text!r} begins with the home folder of a user who is unknown here: write it out.") from error


def reason(error: OSError) -> str:
    """Why a file cannot be opened, in words: `"permission denied for this user"`."""
    if isinstance(error, PermissionError):
        return "permission denied for this user: change its mode or its owner"
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if isinstance(error, IsADirectoryError):
        return "it is a folder"
    return error.strerror or str(error)


def read_bytes(path: Path, most: int = MOST_BYTES) -> bytes:
    """The bytes of a regular file. Raises DataError where there is none, or it has more than `most` bytes."""
    with opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise DataError(f"{path} has {size:,} bytes, and a file of this kind at most {most:,}: name another one.")
        return file.read(most)


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """A regular file, open for reading. Raises DataError where there is none, and for a reading that fails."""
    try:
        file = open(path, "rb", opener=_without_waiting)  # noqa: SIM115
    except OSError as error:
        raise DataError(f"{path} cannot be read: {reason(error)}.") from error
    except ValueError as error:  # a NUL in the path
        raise DataError(f"{str(path)!r} is no path of a file ({error}).") from error
    with file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise DataError(f"{path} is no regular file: write its content into one.")
        try:
            yield file
        except OSError as error:
            raise DataError(f"{path} cannot be read: {reason(error)}.") from error


def _without_waiting(path: str, flags: int) -> int:
    """A pipe that nobody writes into would wait for ever."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def is_folder(path: Path) -> bool:
    """Whether there is such a folder. Raises DataError where this user may not look."""
    mode = _mode(path)
    return mode is not None and stat.S_ISDIR(mode)


def is_file(path: Path) -> bool:
    """Whether there is such a file. Raises DataError where this user may not look."""
    mode = _mode(path)
    return mode is not None and stat.S_ISREG(mode)


def _mode(path: Path) -> int | None:
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a NUL in the path
        return None
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return None
        raise DataError(f"{path} cannot be read: {reason(error)}.") from error


def entries(folder: Path) -> list[os.DirEntry[str]]:
    """What lies in a folder, by name. Raises DataError where it may not be listed."""
    try:
        with os.scandir(folder) as found:
            return sorted(found, key=attrgetter("name"))
    except OSError as error:
        raise DataError(f"The folder {folder} cannot be read: {reason(error)}.") from error
