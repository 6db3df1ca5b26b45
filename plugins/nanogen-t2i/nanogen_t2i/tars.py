"""Where the samples of a tar lie, so that any of them can be read without the ones before it."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from webdataset.tariterators import base_plus_ext  # type: ignore[import-untyped]

from nanogen_core.errors import DataError

IMAGES = ("jpg", "jpeg", "png", "webp")
CAPTION = "txt"
MISSING = -1  # the offset of a part that a sample lacks


class Span(NamedTuple):
    """Bytes of a tar."""

    offset: int
    size: int


NOWHERE = Span(MISSING, 0)


def index_tar(path: Path) -> NDArray[np.int64]:
    """A row for each sample: offset and size of its image, offset and size of its caption; -1 for a missing one.

    Samples are files of one name up to the first dot, as webdataset has it. Raises DataError for a file that is no
    plain tar, is cut short, or holds one name twice.
    """
    samples: dict[str, dict[str, Span]] = {}
    for name, span in _files(path):
        base, extension = base_plus_ext(name)
        if base is None:
            continue  # a name without an extension, or of a hidden file, belongs to no sample
        parts = samples.setdefault(base, {})
        if extension.lower() in parts:
            raise DataError(f"{path} holds {name} twice: write each sample once.")
        parts[extension.lower()] = span
    rows = [(*_image(parts), *parts.get(CAPTION, NOWHERE)) for parts in samples.values()]
    return np.array(rows, dtype=np.int64).reshape(-1, 4)


def complete(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """The rows that have both parts; the very same array where all of them have."""
    whole = (rows[:, [0, 2]] != MISSING).all(axis=1)
    return rows if whole.all() else rows[whole]


def read_span(path: Path, span: Span) -> bytes:
    """The bytes of a span. Opens the file anew, since worker processes would share the place in an open one."""
    with open(path, "rb") as file:
        file.seek(span.offset)
        return file.read(span.size)


def _image(parts: dict[str, Span]) -> Span:
    return next((parts[extension] for extension in IMAGES if extension in parts), NOWHERE)


def _files(path: Path) -> Iterator[tuple[str, Span]]:
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                if member.isreg():
                    yield member.name, Span(member.offset_data, member.size)
            end = tar.offset
    except (tarfile.TarError, OSError) as error:
        raise DataError(f"{path} is not a whole, uncompressed tar ({error}): fetch or write it again.") from error
    # tarfile takes a damaged header for the end, so that half a tar would pass as a whole one
    if read_span(path, Span(end, tarfile.BLOCKSIZE)) != bytes(tarfile.BLOCKSIZE):
        raise DataError(f"{path} is cut short or damaged at byte {end}: fetch or write it again.")
