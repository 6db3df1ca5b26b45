"""Caches tar indices on disk, because reading all headers of a large tar takes seconds."""

from __future__ import annotations

import os
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nanogen_t2i.tars import IMAGES, index_tar

FORMAT = 3  # version of the cached rows


def cached_index(path: Path, images: frozenset[str] = IMAGES, caption: str = "txt") -> NDArray[np.int64]:
    """Return `index_tar(path, images, caption)`, from the cache if the file is unchanged.

    A file is unchanged if its name, size and modification time are. Cached rows are memory-mapped. If the cache folder
    cannot be written, the rows are held in memory.

    Args:
        path: The tar.
        images: Keys of images.
        caption: The key of captions.

    Raises:
        DataError: See `index_tar`.
    """
    cached = _cache_file(path, [*sorted(images), caption])
    with suppress(OSError, ValueError, EOFError):  # missing or damaged: index again
        return _mapped(cached)
    rows = index_tar(path, images, caption)
    with suppress(OSError):
        _write(cached, rows)
        return _mapped(cached)
    return rows


def _mapped(cached: Path) -> NDArray[np.int64]:
    rows: NDArray[np.int64] = np.load(cached, mmap_mode="r", allow_pickle=False)
    if rows.ndim != 2 or rows.shape[1] != 5 or rows.dtype != np.int64:
        raise ValueError(f"{cached} is not a tar index")
    return rows


def _write(cached: Path, rows: NDArray[np.int64]) -> None:
    cached.parent.mkdir(parents=True, exist_ok=True)
    temporary = cached.with_name(f"{cached.stem}.{os.getpid()}.npy")  # renamed when complete, for concurrent readers
    np.save(temporary, rows)
    os.replace(temporary, cached)


def _cache_file(path: Path, keys: list[str]) -> Path:
    state = path.stat()
    words = f"{FORMAT}\n{path.resolve()}\n{state.st_size}\n{state.st_mtime_ns}\n{keys}"
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return home / "nanogen" / "tar-index" / f"{sha256(words.encode('utf-8', 'surrogateescape')).hexdigest()[:32]}.npy"
