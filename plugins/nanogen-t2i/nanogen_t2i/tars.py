"""Indexes the samples of a tar by byte offset, for random access."""

from __future__ import annotations

import logging
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import PurePosixPath
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray
from webdataset.tariterators import base_plus_ext

from nanogen_core.errors import DataError, NanoGenError, shown
from nanogen_data.corrupt import CorruptSampleError
from nanogen_data.notes import warn_once
from nanogen_data.pictures import MAX_BYTES, SUFFIXES, is_hidden
from nanogen_data.stored_files import StoredFile

log = logging.getLogger(__name__)

IMAGES = frozenset(suffix.removeprefix(".") for suffix in SUFFIXES)
BLOCK = tarfile.BLOCKSIZE
MISSING = -1  # offset of a missing part of a sample
CUT = -2  # offset of the lost part of a truncated tar; its `size` is the byte where the tar ends
COMPRESSED = {"gzip": b"\x1f\x8b", "bzip2": b"BZh", "xz": b"\xfd7zXZ\0", "zstd": b"\x28\xb5\x2f\xfd"}  # first bytes
MAX_HEADER = 1 << 20  # bytes of a header with a long name
LONG_NAME = 200  # characters of a name in a log message
MAX_FILES = 16  # headers that `names_from` reads
MAX_GAP = 1 << 16  # bytes between two parts of a sample that are read together


class Span(NamedTuple):
    """A range of bytes in a tar."""

    offset: int
    size: int


class Row(NamedTuple):
    """The position of a sample in a tar."""

    image: Span
    captions: tuple[Span, ...]  # of each key of captions
    first: int  # offset of the header of its first file


class Member(NamedTuple):
    """A file in a tar."""

    name: str
    span: Span
    header: int


NOWHERE = Span(MISSING, 0)


def index_tar(
    tar: StoredFile, images: frozenset[str] = IMAGES, captions: Sequence[str] = ("txt",)
) -> NDArray[np.int64]:
    """Index the samples of a tar.

    As in webdataset, a sample consists of the files with equal names up to the first dot after the folder. The rest of
    the name is the key of the file. Hidden files and system files (`__MACOSX`) are ignored.

    Args:
        tar: The tar.
        images: Keys of images.
        captions: Keys of captions.

    Returns:
        Rows [N, 3 + 2 len(captions)], one per sample (see `row_of`). The offset of a missing part is -1. A truncated or
        damaged tar has one more row, with offsets -2, for the lost part.

    Raises:
        DataError: The tar is compressed, or has a duplicate name, several images in one sample, or a sparse file.
    """
    samples: dict[str, dict[str, Member]] = {}
    left: list[str] = []
    for member in _files(tar):
        if member.span.offset == CUT:
            cut = np.array([[*member.span * (1 + len(captions)), 0]])
            return np.vstack([_whole(tar, samples, images, captions), cut])
        if any(is_hidden(part) for part in PurePosixPath(member.name).parts if part != ".."):
            left.append(member.name)
            continue
        base, extension = base_plus_ext(member.name)
        if base is None:
            continue  # a name without an extension, or of a hidden file, belongs to no sample
        parts = samples.setdefault(base, {})
        if extension.lower() in parts:
            raise DataError(
                f"{tar} contains {member.name} twice (keys in upper and lower case are the same). Write each file once."
            )
        parts[extension.lower()] = member
    if left:
        warn_once(log, f"Ignored in {tar}: {len(left)} hidden or system files, such as {shown(left[0], LONG_NAME)}.")
    return _rows(tar, samples, images, captions)


def row_of(values: Sequence[int] | NDArray[np.int64]) -> Row:
    """Convert a row of the index to a `Row`."""
    *numbers, first = map(int, values)
    image, *captions = map(Span, numbers[::2], numbers[1::2])
    return Row(image, tuple(captions), first)


def read_spans(tar: StoredFile, spans: Sequence[Span]) -> list[bytes]:
    """Read ranges of bytes. Ranges at most MAX_GAP bytes apart share one read.

    Opens a local file each time, because worker processes would share an open file's position.

    Raises:
        DataError: The file cannot be read.
        CorruptSampleError: A range is too large for an image.
    """
    large = next((span for span in spans if span.size > MAX_BYTES), None)
    if large is not None:
        raise CorruptSampleError(
            "too many bytes",
            f"The file at byte {large.offset} of {tar} has {large.size:,} bytes, more than the limit of {MAX_BYTES:,}. "
            "Remove it, or replace it by a smaller file.",
        )
    found: dict[Span, bytes] = {}
    for group in _close_together(sorted(set(spans))):
        start = group[0].offset
        data = tar.read(start, max(span.offset + span.size for span in group) - start)
        found.update({span: data[span.offset - start : span.offset - start + span.size] for span in group})
    return [found[span] for span in spans]


def _close_together(spans: Sequence[Span]) -> Iterator[list[Span]]:
    """Group sorted ranges whose gaps are at most MAX_GAP."""
    group: list[Span] = []
    for span in spans:
        if group and span.offset > group[-1].offset + group[-1].size + MAX_GAP:
            yield group
            group = []
        group.append(span)
    if group:
        yield group


def names_from(tar: StoredFile, header: int) -> list[str]:
    """Return the names of a sample's files, for error messages. `header` is the byte offset of its first header."""
    names: list[str] = []
    with suppress(Exception):  # the caller reports another error
        for _ in range(MAX_FILES):
            member = tarfile.TarInfo.frombuf(tar.read(header, BLOCK), "utf-8", "surrogateescape")
            base = base_plus_ext(member.name)[0] if member.isreg() else None
            if names and base not in (None, base_plus_ext(names[0])[0]):
                break
            names += [] if base is None else [member.name]
            header += BLOCK * (1 + -(-member.size // BLOCK))
    return names


def width(captions: Sequence[str]) -> int:
    """Return the number of columns of an index."""
    return 3 + 2 * len(captions)


def _rows(
    tar: StoredFile, samples: Mapping[str, Mapping[str, Member]], images: frozenset[str], captions: Sequence[str]
) -> NDArray[np.int64]:
    rows = [_row(tar, parts, images, captions) for parts in samples.values()]
    return np.array(rows, dtype=np.int64).reshape(-1, width(captions))


def _row(
    tar: StoredFile, parts: Mapping[str, Member], images: frozenset[str], captions: Sequence[str]
) -> tuple[int, ...]:
    pictures = sorted(images & parts.keys())
    if len(pictures) > 1:
        raise DataError(
            f"{tar} has several images in one sample, {' and '.join(parts[key].name for key in pictures)}. Set "
            f"`dataset.image` to one of the keys {', '.join(pictures)}."
        )
    image = parts[pictures[0]].span if pictures else NOWHERE
    texts = [number for key in captions for number in (parts[key].span if key in parts else NOWHERE)]
    return (*image, *texts, min(member.header for member in parts.values()))


def _whole(
    tar: StoredFile, samples: Mapping[str, Mapping[str, Member]], images: frozenset[str], captions: Sequence[str]
) -> NDArray[np.int64]:
    """Return the rows of complete samples in a truncated tar: without the last one if that lacks a part."""
    rows = _rows(tar, samples, images, captions)
    return rows[:-1] if len(rows) and MISSING in rows[-1] else rows


def _files(tar: StoredFile) -> Iterator[Member]:
    """Yield the complete files of a tar without extracting them. Links, devices and folders are skipped."""
    _refuse_compressed(tar)
    size, end = tar.size, 0
    for member in _members(tar):
        if member.offset < end or member.size < 0:
            break  # a damaged header that points backwards would loop forever
        end = member.offset
        if member.issparse():
            raise DataError(f"{tar} contains {member.name} as a sparse file. Write the tar without `--sparse`.")
        if member.offset_data + member.size > size:
            break
        if member.isreg():
            yield Member(member.name, Span(member.offset_data, member.size), member.offset_data - BLOCK)
        end = member.offset_data + BLOCK * -(-member.size // BLOCK)
    # tarfile reads a damaged header as the end of the tar, so check that an end block follows
    if tar.read(end, BLOCK) != bytes(BLOCK):
        yield Member("", Span(CUT, end), 0)


def _refuse_compressed(tar: StoredFile) -> None:
    start = tar.read(0, BLOCK)
    found = next((name for name, magic in COMPRESSED.items() if start.startswith(magic)), None)
    if found:
        raise DataError(
            f"{tar} is compressed ({found}), but random access needs an uncompressed tar. Decompress it first."
        )


def _members(tar: StoredFile) -> Iterator[tarfile.TarInfo]:
    """Yield headers up to the first damaged one, for which tarfile raises errors of many types.

    Raises DataError if the file cannot be read, as for a server that does not answer.
    """
    with tar.opened() as file:
        headers = _Headers(file)
        try:
            archive = tarfile.open(fileobj=headers, mode="r:")  # type: ignore[call-overload]  # noqa: SIM115
            while (member := archive.next()) is not None:
                archive.members = []  # tarfile's own index would take memory
                yield member
        except NanoGenError:
            raise
        except Exception:
            if headers.failure is None:
                return
        if headers.failure is not None:  # a failed read is not a damaged tar, whatever tarfile makes of it
            raise headers.failure


class _Headers:
    """A file object for tarfile that limits the size of headers: a damaged one may claim gigabytes."""

    def __init__(self, file: BinaryIO):
        self._file = file
        self.seek, self.tell = file.seek, file.tell
        self.failure: NanoGenError | OSError | None = None

    def read(self, size: int) -> bytes:
        if not 0 <= size <= MAX_HEADER:
            raise tarfile.ReadError(f"a header of {size} bytes is damaged")
        try:
            return self._file.read(size)
        except (NanoGenError, OSError) as error:
            self.failure = error
            raise
