"""Tar indices kept in the user's cache folder: reading every header of a large tar takes seconds."""

from __future__ import annotations

import os
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nanogen_t2i.tars import IMAGES, index_tar

FORMAT = 3  # of what is kept


def cached_index(path: Path, images: frozenset[str] = IMAGES, caption: str = "txt") -> NDArray[np.int64]:
    """`index_tar(path, images, caption)`, from the cache where the file is as it was (name, size, time of change).

    Rows from the cache are mapped, not held in memory. Where the cache cannot be written, the rows stay in memory.
    """
    kept = _cache_file(path, [*sorted(images), caption])
    with suppress(OSError, ValueError, EOFError):  # there is none yet, or a broken one, which is replaced
        return _mapped(kept)
    rows = index_tar(path, images, caption)
    with suppress(OSError):
        _write(kept, rows)
        return _mapped(kept)
    return rows


def _mapped(kept: Path) -> NDArray[np.int64]:
    rows: NDArray[np.int64] = np.load(kept, mmap_mode="r", allow_pickle=False)
    if rows.ndim != 2 or rows.shape[1] != 5 or rows.dtype != np.int64:
        raise ValueError("another array than an index")
    return rows


def _write(kept: Path, rows: NDArray[np.int64]) -> None:
    kept.parent.mkdir(parents=True, exist_ok=True)
    half = kept.with_name(f"{kept.stem}.{os.getpid()}.npy")  # renamed when whole: other processes read at any time
    np.save(half, rows)
    os.replace(half, kept)


def _cache_file(path: Path, keys: list[str]) -> Path:
    state = path.stat()
    words = f"{FORMAT}\n{path.resolve()}\n{state.st_size}\n{state.st_mtime_ns}\n{keys}"
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return home / "nanogen" / "tar-index" / f"{sha256(words.encode('utf-8', 'surrogateescape')).hexdigest()[:32]}.npy"
