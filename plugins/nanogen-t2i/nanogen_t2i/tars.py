"""Indexes the samples of a tar by byte offset, for random access."""

from __future__ import annotations

import logging
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray
from webdataset.tariterators import base_plus_ext

from nanogen_core.errors import DataError, shown
from nanogen_data.corrupt import CorruptSampleError
from nanogen_data.notes import warn_once
from nanogen_data.pictures import MAX_BYTES, SUFFIXES, is_hidden
from nanogen_files.reading import opened

log = logging.getLogger(__name__)

IMAGES = frozenset(suffix.removeprefix(".") for suffix in SUFFIXES)
BLOCK = tarfile.BLOCKSIZE
MISSING = -1  # offset of a missing part of a sample
CUT = -2  # offset of the lost part of a truncated tar; its `size` is the byte where the tar ends
COMPRESSED = {"gzip": b"\x1f\x8b", "bzip2": b"BZh", "xz": b"\xfd7zXZ\0", "zstd": b"\x28\xb5\x2f\xfd"}  # first bytes
MAX_HEADER = 1 << 20  # bytes of a header with a long name
LONG_NAME = 200  # characters of a name in a log message
MAX_FILES = 16  # headers that `names_from` reads


class Span(NamedTuple):
    """A range of bytes in a tar."""

    offset: int
    size: int


class Row(NamedTuple):
    """The position of a sample in a tar."""

    image: Span
    caption: Span
    first: int  # offset of the header of its first file


class Member(NamedTuple):
    """A file in a tar."""

    name: str
    span: Span
    header: int


NOWHERE = Span(MISSING, 0)


def index_tar(path: Path, images: frozenset[str] = IMAGES, caption: str = "txt") -> NDArray[np.int64]:
    """Index the samples of a tar.

    As in webdataset, a sample consists of the files with equal names up to the first dot after the folder. The rest of
    the name is the key of the file. Hidden files and system files (`__MACOSX`) are ignored.

    Args:
        path: The tar.
        images: Keys of images.
        caption: The key of captions.

    Returns:
        One row per sample [N, 5], see `Row`, with offset -1 for a missing part. A truncated or damaged tar has one more
        row with offsets -2 for the lost part.

    Raises:
        DataError: The tar is compressed, or has a duplicate name, several images in one sample, or a sparse file.
    """
    samples: dict[str, dict[str, Member]] = {}
    left: list[str] = []
    for member in _files(path):
        if member.span.offset == CUT:
            return np.vstack([_whole(path, samples, images, caption), np.array([[*member.span, *member.span, 0]])])
        if any(is_hidden(part) for part in PurePosixPath(member.name).parts if part != ".."):
            left.append(member.name)
            continue
        base, extension = base_plus_ext(member.name)
        if base is None:
            continue  # a name without an extension, or of a hidden file, belongs to no sample
        parts = samples.setdefault(base, {})
        if extension.lower() in parts:
            raise DataError(f"{path} contains {member.name} twice. Write each sample once.")
        parts[extension.lower()] = member
    if left:
        warn_once(log, f"Ignored in {path}: {len(left)} hidden or system files, such as {shown(left[0], LONG_NAME)}.")
    return _rows(path, samples, images, caption)


def row_of(values: Sequence[int] | NDArray[np.int64]) -> Row:
    """Convert a row of the index to a `Row`."""
    image, image_size, caption, caption_size, first = map(int, values)
    return Row(Span(image, image_size), Span(caption, caption_size), first)


def read_span(path: Path, span: Span) -> bytes:
    """Read a range of bytes. Opens the file each time, because worker processes would share an open file's position.

    Raises:
        DataError: The file cannot be read.
        CorruptSampleError: The range is too large for an image.
    """
    if span.size > MAX_BYTES:
        raise CorruptSampleError(
            "too many bytes",
            f"The file at byte {span.offset} of {path} has {span.size:,} bytes, more than the limit of {MAX_BYTES:,}. "
            "Remove it or write it again.",
        )
    with opened(path) as file:
        file.seek(span.offset)
        return file.read(span.size)


def names_from(path: Path, header: int) -> list[str]:
    """Return the names of a sample's files, for error messages. `header` is the byte offset of the first header."""
    names: list[str] = []
    with suppress(Exception), open(path, "rb") as file:  # the caller reports another error
        for _ in range(MAX_FILES):
            file.seek(header)
            member = tarfile.TarInfo.frombuf(file.read(BLOCK), "utf-8", "surrogateescape")
            base = base_plus_ext(member.name)[0] if member.isreg() else None
            if names and base not in (None, base_plus_ext(names[0])[0]):
                break
            names += [] if base is None else [member.name]
            header += BLOCK * (1 + -(-member.size // BLOCK))
    return names


def _rows(
    path: Path, samples: Mapping[str, Mapping[str, Member]], images: frozenset[str], caption: str
) -> NDArray[np.int64]:
    rows = [_row(path, parts, images, caption) for parts in samples.values()]
    return np.array(rows, dtype=np.int64).reshape(-1, 5)


def _row(path: Path, parts: Mapping[str, Member], images: frozenset[str], caption: str) -> tuple[int, ...]:
    pictures = sorted(images & parts.keys())
    if len(pictures) > 1:
        raise DataError(
            f"{path} has several images in one sample, {' and '.join(parts[key].name for key in pictures)}. Set "
            f"`dataset.image` to one of the keys {', '.join(pictures)}."
        )
    image = parts[pictures[0]].span if pictures else NOWHERE
    text = parts[caption].span if caption in parts else NOWHERE
    return (*image, *text, min(member.header for member in parts.values()))


def _whole(
    path: Path, samples: Mapping[str, Mapping[str, Member]], images: frozenset[str], caption: str
) -> NDArray[np.int64]:
    """Return the rows of complete samples in a truncated tar: without the last one if that lacks a part."""
    rows = _rows(path, samples, images, caption)
    return rows[:-1] if len(rows) and MISSING in rows[-1] else rows


def _files(path: Path) -> Iterator[Member]:
    """Yield the complete files of a tar without extracting them. Links, devices and folders are skipped."""
    _refuse_compressed(path)
    size, end = path.stat().st_size, 0
    for member in _members(path):
        if member.offset < end or member.size < 0:
            break  # a damaged header that points backwards would loop forever
        end = member.offset
        if member.issparse():
            raise DataError(f"{path} contains {member.name} as a sparse file. Write the tar without `--sparse`.")
        if member.offset_data + member.size > size:
            break
        if member.isreg():
            yield Member(member.name, Span(member.offset_data, member.size), member.offset_data - BLOCK)
        end = member.offset_data + BLOCK * -(-member.size // BLOCK)
    # tarfile reads a damaged header as the end of the tar, so check that an end block follows
    if read_span(path, Span(end, BLOCK)) != bytes(BLOCK):
        yield Member("", Span(CUT, end), 0)


def _refuse_compressed(path: Path) -> None:
    with opened(path) as file:
        start = file.read(BLOCK)
    found = next((name for name, magic in COMPRESSED.items() if start.startswith(magic)), None)
    if found:
        raise DataError(
            f"{path} is compressed ({found}), but random access needs an uncompressed tar. Decompress it first."
        )


def _members(path: Path) -> Iterator[tarfile.TarInfo]:
    """Yield headers up to the first unreadable one, for which tarfile raises errors of many types."""
    with opened(path) as file, suppress(Exception):
        headers: Any = _Headers(file)
        tar = tarfile.open(fileobj=headers, mode="r:")  # noqa: SIM115
        while (member := tar.next()) is not None:
            tar.members = []  # type: ignore[attr-defined]  # tarfile's own index would take memory
            yield member


class _Headers:
    """A file object for tarfile that limits the size of headers: a damaged one may claim gigabytes."""

    def __init__(self, file: BinaryIO):
        self._file = file
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int) -> bytes:
        if not 0 <= size <= MAX_HEADER:
            raise tarfile.ReadError(f"a header of {size} bytes is damaged")
        return self._file.read(size)
