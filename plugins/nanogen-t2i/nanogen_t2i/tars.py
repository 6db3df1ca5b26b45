"""Where the samples of a tar lie, so that any of them can be read without the ones before it."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from webdataset.tariterators import base_plus_ext  # type: ignore[import-untyped]

from nanogen_core.errors import DataError

IMAGES = ("jpg", "jpeg", "png", "webp")
CAPTION = "txt"
MISSING = -1  # the offset of a part that a sample lacks
CUT = -2  # the offset of what a tar that is cut short has lost; its "size" is the byte where the tar ends


class Span(NamedTuple):
    """Bytes of a tar."""

    offset: int
    size: int


NOWHERE = Span(MISSING, 0)


def index_tar(path: Path) -> NDArray[np.int64]:
    """A row for each sample: offset and size of its image, offset and size of its caption; -1 for a missing one.

    Samples are files of one name up to the first dot, as webdataset has it. A tar that is cut short, damaged, or no
    plain tar has one row more for what is lost, with -2 in place of offsets. Raises DataError for a name that is there
    twice.
    """
    samples: dict[str, dict[str, Span]] = {}
    for name, span in _files(path):
        if span.offset == CUT:
            return np.vstack([_whole(samples), np.array([[*span, *span]])])
        base, extension = base_plus_ext(name)
        if base is None:
            continue  # a name without an extension, or of a hidden file, belongs to no sample
        parts = samples.setdefault(base, {})
        if extension.lower() in parts:
            raise DataError(f"{path} holds {name} twice: write each sample once.")
        parts[extension.lower()] = span
    return _rows(samples)


def _rows(samples: Mapping[str, Mapping[str, Span]]) -> NDArray[np.int64]:
    rows = [(*_image(parts), *parts.get(CAPTION, NOWHERE)) for parts in samples.values()]
    return np.array(rows, dtype=np.int64).reshape(-1, 4)


def _whole(samples: Mapping[str, Mapping[str, Span]]) -> NDArray[np.int64]:
    """The rows but for the last one, where that lost a part to the cut: it is what the cut has taken."""
    rows = _rows(samples)
    return rows[:-1] if len(rows) and MISSING in rows[-1] else rows


def read_span(path: Path, span: Span) -> bytes:
    """The bytes of a span. Opens the file anew, since worker processes would share the place in an open one."""
    with open(path, "rb") as file:
        file.seek(span.offset)
        return file.read(span.size)


def _image(parts: dict[str, Span]) -> Span:
    return next((parts[extension] for extension in IMAGES if extension in parts), NOWHERE)


def _files(path: Path) -> Iterator[tuple[str, Span]]:
    """The files in a tar that are whole. Links, devices and folders are passed over; nothing is ever extracted."""
    size, end = path.stat().st_size, 0
    with suppress(tarfile.TarError), tarfile.open(path, "r:") as tar:
        for member in tar:
            end = member.offset
            if member.offset_data + member.size > size:
                break
            if member.isreg():
                yield member.name, Span(member.offset_data, member.size)
        else:
            end = tar.offset
    # tarfile takes a damaged header for the end, so that half a tar would pass as a whole one
    if read_span(path, Span(end, tarfile.BLOCKSIZE)) != bytes(tarfile.BLOCKSIZE):
        yield "", Span(CUT, end)
