"""Caches tar indices on disk, because reading all headers takes seconds, or minutes over a network."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from hashlib import sha256
from pathlib import Path

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from nanogen_data.stored_files import StoredFile
from nanogen_files import storage
from nanogen_t2i.tars import IMAGES, index_tar, width

FORMAT = 4  # version of the cached rows


def cached_index(
    tar: StoredFile, images: frozenset[str] = IMAGES, captions: Sequence[str] = ("txt",)
) -> NDArray[np.int64]:
    """Return `index_tar(tar, images, captions)`, from the cache if the file is unchanged.

    A local file is unchanged if it has the same path, size and modification time. A remote file is unchanged if it has
    the same URL, size and version.
    Cached rows are memory-mapped. Of several processes, one makes the index and the others wait. If the cache folder
    cannot be written, the rows are held in memory.

    Args:
        tar: The tar.
        images: Keys of images.
        captions: Keys of captions.

    Raises:
        DataError: See `index_tar`.
    """
    cached, columns = _cache_file(tar, [*sorted(images), *captions]), width(captions)
    with suppress(OSError, ValueError, EOFError):  # missing or damaged: index again
        return _mapped(cached, columns)
    with ExitStack() as locked:
        with suppress(OSError):  # a folder that cannot be written
            cached.parent.mkdir(parents=True, exist_ok=True)
            locked.enter_context(FileLock(cached.with_suffix(".lock")))
        with suppress(OSError, ValueError, EOFError):  # another process made it meanwhile
            return _mapped(cached, columns)
        rows = index_tar(tar, images, captions)
        with suppress(OSError):
            storage.write_bytes(cached, _content(rows))
            return _mapped(cached, columns)
    return rows


def _mapped(cached: Path, columns: int) -> NDArray[np.int64]:
    rows: NDArray[np.int64] = np.load(cached, mmap_mode="r", allow_pickle=False)
    if rows.ndim != 2 or rows.shape[1] != columns or rows.dtype != np.int64:
        raise ValueError(f"{cached} is not a tar index")
    return rows


def _content(rows: NDArray[np.int64]) -> bytes:
    content = io.BytesIO()
    np.save(content, rows)
    return content.getvalue()


def _cache_file(tar: StoredFile, keys: list[str]) -> Path:
    words = f"{FORMAT}\n{tar.identity}\n{keys}"
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return home / "nanogen" / "tar-index" / f"{sha256(words.encode('utf-8', 'surrogateescape')).hexdigest()[:32]}.npy"
