"""SHA-256 hashes of files and folders. Does not import torch."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from nanogen_files.errors import DataError
from nanogen_files.reading import entries, is_file, is_folder, opened

CHUNK = 1 << 20  # bytes
SAMPLED = 1 << 28  # bytes after which `sample_hash` stops
PIECES = 16  # pieces that `sample_hash` reads of a file larger than a chunk
SETTLED = 2.0  # seconds; a second change within this time may leave the modification time unchanged

_CACHE: dict[tuple[str, int, int, int], str] = {}  # cache: (path, inode, size, mtime) -> hash


def file_hash(file: Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits, like `sha256sum`.

    Raises:
        DataError: The file cannot be read.
    """
    try:
        facts = file.stat()
        key = (os.path.realpath(file), facts.st_ino, facts.st_size, facts.st_mtime_ns)
        if key in _CACHE:
            return _CACHE[key]
        digest = _hashed(file)
        if time.time() - facts.st_mtime > SETTLED:  # a newer file may change again with the same mtime
            _CACHE[key] = digest
        return digest
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror or error}. Check the path.") from error


def content_hash(path: Path) -> str:
    """Return the SHA-256 of a file, or of the relative names and contents of all files in a folder and its subfolders.

    In a folder, skips hidden files and subfolders. The hash of a folder does not depend on its location.

    Raises:
        DataError: The path does not exist or cannot be read.
    """
    if not path.is_dir():
        return file_hash(path)
    return files_hash(path, files_below(path))


def files_hash(root: Path, files: Iterable[Path]) -> str:
    """Return the SHA-256 over the contents of files and their names relative to the folder `root`."""
    total = sha256()
    for file in sorted(files):
        name = Path(os.path.relpath(file, root)).as_posix()
        total.update(f"{name}\t{file_hash(file)}\n".encode("utf-8", "surrogateescape"))
    return total.hexdigest()


def sample_hash(files: Iterable[Path]) -> str:
    """Return a SHA-256 over a sample of the files' contents, to detect replaced files.

    Reads the files in a pseudo-random order that depends on their relative names, until 256 MiB are read. Files up to
    1 MiB are read whole; of a larger file, 16 pieces of 64 KiB are read. An unreadable file counts as empty.
    """
    listed = list(files)
    root = os.path.commonpath([file.absolute().parent for file in listed]) if listed else ""
    names = {os.path.relpath(file.absolute(), root): file for file in listed}
    total, left = sha256(), SAMPLED
    for name in sorted(names, key=lambda name: sha256(os.fsencode(name)).digest()):
        if left <= 0:
            break
        left -= _add_sample(names[name], total)
    return total.hexdigest()


def files_below(folder: Path) -> Iterator[Path]:
    """Yield the files in and below a folder. Skips hidden files and folders.

    Follows links, except a link to a folder that contains the link.

    Raises:
        DataError: A folder cannot be listed.
    """
    pending: list[tuple[Path, tuple[str, ...]]] = [(folder, ())]
    while pending:
        place, parents = pending.pop()
        real = os.path.realpath(place)
        visible = [] if real in parents else [entry.name for entry in entries(place) if entry.name[0] != "."]
        for path in (place / name for name in visible):
            if is_folder(path):
                pending.append((path, (*parents, real)))
            elif is_file(path):
                yield path


def _add_sample(file: Path, total: Any) -> int:
    """Add a file's bytes, or pieces of them, to a hash. Return the number of bytes read; 0 if unreadable."""
    read = 0
    with suppress(DataError), opened(file) as content:  # the data loader reports unreadable files
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
    digest = sha256()
    with opened(file) as content:
        while block := content.read(CHUNK):
            digest.update(block)
    return digest.hexdigest()
