"""Hashes of files and folders. Loads no torch."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from nanogen_files.errors import DataError
from nanogen_files.reading import opened

CHUNK = 1 << 20  # bytes
SAMPLED = 1 << 28  # bytes of many files that `sample_hash` reads at most
PIECES = 16  # of a file that is larger than a chunk
SETTLED = 2.0  # seconds after its last change in which a file may change again without a newer time of change

_KNOWN: dict[tuple[str, int, int, int], str] = {}  # path, inode, size, time of change


def file_hash(file: Path) -> str:
    """The SHA-256 of a file, 64 hexadecimal digits, as `sha256sum` gives it. Raises DataError."""
    try:
        facts = file.stat()
        key = (os.path.realpath(file), facts.st_ino, facts.st_size, facts.st_mtime_ns)
        if key in _KNOWN:
            return _KNOWN[key]
        found = _hashed(file)
        if time.time() - facts.st_mtime > SETTLED:  # a younger file could change within one tick of the clock
            _KNOWN[key] = found
        return found
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror or error}.") from error


def content_hash(path: Path) -> str:
    """The SHA-256 of a file; of a folder, that of the names and contents of all files below it, hidden ones left out.

    A folder has the same hash wherever it lies. Raises DataError where nothing lies at the path.
    """
    if not path.is_dir():
        return file_hash(path)
    return files_hash(path, files_below(path))


def files_hash(home: Path, files: Iterable[Path]) -> str:
    """SHA-256 over the names, as seen from the folder `home`, and contents of files."""
    total = sha256()
    for file in sorted(files):
        name = Path(os.path.relpath(file, home)).as_posix()
        total.update(f"{name}\t{file_hash(file)}\n".encode("utf-8", "surrogateescape"))
    return total.hexdigest()


def sample_hash(files: Iterable[Path]) -> str:
    """SHA-256 over the contents of files, of which at most 256 MiB are read: enough to notice that they were exchanged.

    Files up to that sum are read whole. Of more files some are read, in an order that depends on their names; of a file
    above 1 MiB, 16 pieces of 64 KiB. A file that cannot be read counts as an empty one.
    """
    listed = list(files)
    home = os.path.commonpath([file.absolute().parent for file in listed]) if listed else ""
    names = {os.path.relpath(file.absolute(), home): file for file in listed}
    total, left = sha256(), SAMPLED
    for name in sorted(names, key=lambda name: sha256(os.fsencode(name)).digest()):
        if left <= 0:
            break
        left -= _add_sample(names[name], total)
    return total.hexdigest()


def files_below(folder: Path) -> Iterator[Path]:
    """The files in and below a folder; hidden files and folders are left out, links are followed once."""
    seen: set[str] = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        seen.add(os.path.realpath(place))
        new = [name for name in folders if os.path.realpath(os.path.join(place, name)) not in seen]
        folders[:] = [name for name in new if not name.startswith(".")]
        yield from (file for name in names if not name.startswith(".") and (file := Path(place, name)).is_file())


def _add_sample(file: Path, total: Any) -> int:
    """Adds a file's bytes, or pieces of them, to a hash. Returns how many were read: none of one that cannot be."""
    read = 0
    with suppress(DataError), opened(file) as content:  # reading the example says what is wrong with it
        size = os.fstat(content.fileno()).st_size
        length = size if size <= CHUNK else CHUNK // PIECES
        starts = [0] if size <= CHUNK else [(size - length) * piece // (PIECES - 1) for piece in range(PIECES)]
        for start in starts:
            content.seek(start)
            block = content.read(length)
            total.update(block)
            read += len(block)
    return read


def _hashed(file: Path) -> str:
    found = sha256()
    with opened(file) as content:
        while block := content.read(CHUNK):
            found.update(block)
    return found.hexdigest()
