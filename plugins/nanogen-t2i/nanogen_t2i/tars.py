"""Where the samples of a tar lie, so that any of them can be read without the ones before it."""

from __future__ import annotations

import logging
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray
from webdataset.tariterators import base_plus_ext  # type: ignore[import-untyped]

from nanogen_core.errors import DataError, shown
from nanogen_data.corrupt import CorruptSampleError
from nanogen_data.notes import warn_once
from nanogen_data.pictures import MAX_BYTES, SUFFIXES, is_hidden
from nanogen_files.reading import opened

log = logging.getLogger(__name__)

IMAGES = frozenset(suffix.removeprefix(".") for suffix in SUFFIXES)
BLOCK = tarfile.BLOCKSIZE
MISSING = -1  # the offset of a part that a sample lacks
CUT = -2  # the offset of what a tar that is cut short has lost; its "size" is the byte where the tar ends
COMPRESSED = {"gzip": b"\x1f\x8b", "bzip2": b"BZh", "xz": b"\xfd7zXZ\0", "zstd": b"\x28\xb5\x2f\xfd"}  # first bytes
LONGEST = 1 << 20  # bytes of a header with a long name
LONG_NAME = 200  # characters of a name in a sentence
LOOKED = 16  # files after a sample's first one in which the others are looked for, to say what it has


class Span(NamedTuple):
    """Bytes of a tar."""

    offset: int
    size: int


class Row(NamedTuple):
    """A sample: its image, its caption, and the header of its first file."""

    image: Span
    caption: Span
    first: int


class Member(NamedTuple):
    """A file in a tar."""

    name: str
    span: Span
    header: int


NOWHERE = Span(MISSING, 0)


def index_tar(path: Path, images: frozenset[str] = IMAGES, caption: str = "txt") -> NDArray[np.int64]:
    """A row for each sample [samples, 5], see `Row`; -1 for a part that is missing.

    Samples are the files of one name up to the first dot after the folder, as webdataset has it; the rest of the name
    is the key of a file. Hidden files and those of systems (`__MACOSX`) belong to none. `images` and `caption` are
    keys. A tar that is cut short, damaged, or no plain tar has one row more for what is lost, with -2 in place of
    offsets. Raises DataError for a name that is there twice, for several images in one sample, and for sparse files.
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
            raise DataError(f"{path} holds {member.name} twice: write each sample once.")
        parts[extension.lower()] = member
    if left:
        warn_once(log, f"Left out of {path}: hidden or system files: {len(left)}, such as {shown(left[0], LONG_NAME)}.")
    return _rows(path, samples, images, caption)


def row_of(values: Sequence[int] | NDArray[np.int64]) -> Row:
    """A row of the index by names."""
    image, image_size, caption, caption_size, first = map(int, values)
    return Row(Span(image, image_size), Span(caption, caption_size), first)


def read_span(path: Path, span: Span) -> bytes:
    """The bytes of a span. Opens the file anew, since worker processes would share the place in an open one.

    Raises DataError where the file cannot be read, BadExample where the span is longer than any image.
    """
    if span.size > MAX_BYTES:
        raise CorruptSampleError("too many bytes", f"The file at byte {span.offset} of {path} has {span.size:,} bytes.")
    with opened(path) as file:
        file.seek(span.offset)
        return file.read(span.size)


def names_from(path: Path, header: int) -> list[str]:
    """The names of a sample's files from the header of its first one on, as far as they stand together."""
    names: list[str] = []
    with suppress(Exception), open(path, "rb") as file:  # it is for a sentence about something else
        for _ in range(LOOKED):
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
            f"{path} holds several images of one sample, {' and '.join(parts[key].name for key in pictures)}: set "
            f"`dataset.image` to the key that is meant ({', '.join(pictures)})."
        )
    image = parts[pictures[0]].span if pictures else NOWHERE
    text = parts[caption].span if caption in parts else NOWHERE
    return (*image, *text, min(member.header for member in parts.values()))


def _whole(
    path: Path, samples: Mapping[str, Mapping[str, Member]], images: frozenset[str], caption: str
) -> NDArray[np.int64]:
    """The rows but for the last one, where that lost a part to the cut: it is what the cut has taken."""
    rows = _rows(path, samples, images, caption)
    return rows[:-1] if len(rows) and MISSING in rows[-1] else rows


def _files(path: Path) -> Iterator[Member]:
    """The files in a tar that are whole. Links, devices and folders are passed over; nothing is ever extracted."""
    _refuse_compressed(path)
    size, end = path.stat().st_size, 0
    for member in _members(path):
        if member.offset < end or member.size < 0:
            break  # a header that leads back would lead there for ever
        end = member.offset
        if member.issparse():
            raise DataError(f"{path} holds {member.name} as a sparse file: pack it again without `--sparse`.")
        if member.offset_data + member.size > size:
            break
        if member.isreg():
            yield Member(member.name, Span(member.offset_data, member.size), member.offset_data - BLOCK)
        end = member.offset_data + BLOCK * -(-member.size // BLOCK)
    # tarfile takes a damaged header for the end, so that half a tar would pass as a whole one
    if read_span(path, Span(end, BLOCK)) != bytes(BLOCK):
        yield Member("", Span(CUT, end), 0)


def _refuse_compressed(path: Path) -> None:
    with opened(path) as file:
        start = file.read(BLOCK)
    found = next((name for name, magic in COMPRESSED.items() if start.startswith(magic)), None)
    if found:
        raise DataError(
            f"{path} is compressed ({found}), and samples are read at their places in a plain tar: decompress it first."
        )


def _members(path: Path) -> Iterator[tarfile.TarInfo]:
    """The headers up to the first one that cannot be read, for which tarfile raises errors of many kinds."""
    with opened(path) as file, suppress(Exception):
        tar = tarfile.open(fileobj=_Headers(file), mode="r:")  # type: ignore[call-overload]  # noqa: SIM115
        while (member := tar.next()) is not None:
            tar.members = []  # an index of a million files would stay in memory twice
            yield member


class _Headers:
    """A file of which headers alone are read: one that says it is gigabytes long is damaged."""

    def __init__(self, file: BinaryIO):
        self._file = file
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int) -> bytes:
        if not 0 <= size <= LONGEST:
            raise tarfile.ReadError("a header of impossible length")
        return self._file.read(size)
