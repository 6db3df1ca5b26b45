"""Images of an `.npz` file, read row by row from the zip archive."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor

from nanogen_core.errors import DataError, NanoGenError
from nanogen_core.tensors import Batch
from nanogen_data.labels import HUGE, wrong
from nanogen_data.pictures import MAX_PIXELS
from nanogen_eval.pixels import from_uint8
from nanogen_eval.sources.folder import warn_fewer
from nanogen_eval.sources.headers import listed
from nanogen_files.errors import counted
from nanogen_files.reading import opened, reason

IMAGES, LABELS = "arr_0", "arr_1"
MAX_RATIO = 1100  # largest compression ratio of deflate
LARGE, MAX_LARGE_RATIO = 1 << 26, 20  # an array of more bytes with a higher ratio is a decompression bomb
MAX_IMAGES = 100_000_000


class Archive:
    """Images of an `.npz` file.

    The array `arr_0` has uint8 images [N, H, W, 3]. An optional array `arr_1` has integer labels [N].

    Only the rows of the current batch are in memory.
    """

    names = None  # images of an archive have no names

    def __init__(self, path: Path, *, count: int | None = None):
        """Read the headers and the labels.

        Args:
            path: The file.
            count: Number of images to use; all by default.

        Raises:
            DataError: The file is damaged or has no `arr_0`, an array has another type or shape or is too large, or a
                label is negative or too large.
        """
        self._path = path
        with reading(path), opened(path) as file, zipfile.ZipFile(file) as archive:
            shape = self._shape(archive)
            labels = _labels(archive, path, shape[0])
        self.total = shape[0]
        warn_fewer(path, self.total, count)
        number = self.total if count is None else min(count, self.total)
        self._row = shape[1:]  # H, W, 3
        self.requests = Batch(torch.arange(number), labels=None if labels is None else labels[:number])
        height, width, _ = self._row
        self.settings: Mapping[str, Any] = {"images": "array", "sizes": listed([(width, height)]), "modes": ["RGB"]}
        self.about: Mapping[str, Any] = {
            "file": str(path),
            "bytes": path.stat().st_size,
            "changed": path.stat().st_mtime_ns,
        }

    def read(self, spans: Iterable[range]) -> Iterator[Batch]:
        with reading(self._path), zipfile.ZipFile(self._path) as archive, archive.open(f"{IMAGES}.npy") as member:
            header(member)
            start, size = member.tell(), int(np.prod(self._row))
            for span in spans:
                member.seek(start + span.start * size)
                yield self.requests.part(span.start, span.stop)._replace(images=self._images(member, len(span)))

    def _images(self, member: IO[bytes], count: int) -> Tensor:
        """Read the next images [count, 3, H, W]."""
        data = _exactly(member, count * int(np.prod(self._row)))
        pixels = torch.frombuffer(data, dtype=torch.uint8).reshape(count, *self._row)
        return from_uint8(pixels.permute(0, 3, 1, 2).contiguous())

    def _shape(self, archive: zipfile.ZipFile) -> tuple[int, ...]:
        if f"{IMAGES}.npy" not in archive.namelist():
            names = ", ".join(archive.namelist()[:10])[:200] or "nothing"
            raise DataError(f"{self._path} has no array {IMAGES!r}. It contains: {names}. Name the images {IMAGES!r}.")
        with archive.open(f"{IMAGES}.npy") as member:
            shape, fortran, kind = header(member)
            begin = member.tell()
        if kind != np.uint8 or len(shape) != 4 or shape[3] != 3 or fortran or min(shape) < 1:
            raise DataError(
                f"{self._path}: {IMAGES!r} is {kind} {list(shape)}{' in Fortran order' if fortran else ''}. It must be"
                " uint8 [N, H, W, 3] in C order, with at least one image."
            )
        if shape[0] > MAX_IMAGES or shape[1] * shape[2] > MAX_PIXELS:
            raise DataError(
                f"{self._path}: {IMAGES!r} is {list(shape)}. The limit is {MAX_IMAGES:,} images of {MAX_PIXELS:,}"
                " pixels: split the file, or store smaller images."
            )
        refuse_other_size(archive, f"{IMAGES}.npy", begin + _product(shape))
        return shape


def header(member: IO[bytes]) -> tuple[tuple[int, ...], bool, Any]:
    """Return the shape of an array, whether it is in Fortran order, and its dtype.

    Afterwards, `member` is at the beginning of the array's data.
    """
    version = np.lib.format.read_magic(member)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, kind = read(member)
    if kind.hasobject:
        raise ValueError("it contains Python objects, which could run code")
    if any(isinstance(side, bool) for side in shape):
        raise ValueError("its shape must consist of integers")
    return tuple(shape), bool(fortran), kind


def refuse_other_size(archive: zipfile.ZipFile, name: str, expected: int) -> int:
    """Check the size of a member of a zip file, and return its compressed size.

    Args:
        archive: The zip file.
        name: Name of the member.
        expected: Uncompressed bytes according to the array's header.

    Raises:
        ValueError: The member has another size, or a compression ratio that deflate cannot reach.
    """
    info = archive.getinfo(name)
    there = min(info.compress_size, os.fstat(archive.fp.fileno()).st_size)  # type: ignore[union-attr]
    if info.file_size != expected or info.file_size > MAX_RATIO * there:
        raise ValueError(
            f"{name} has {info.file_size:,} bytes, {there:,} compressed; its header says {expected:,} bytes, and the"
            f" compression can be at most {MAX_RATIO}-fold"
        )
    return there


def array(archive: zipfile.ZipFile, name: str) -> Any:
    """Read an array of numbers or strings. Raises ValueError, before allocating memory, if its size is implausible."""
    with archive.open(f"{name}.npy") as member:
        shape, fortran, kind = header(member)
        size = member.tell() + _product(shape) * kind.itemsize
        there = refuse_other_size(archive, f"{name}.npy", size)
        if size > max(LARGE, MAX_LARGE_RATIO * there):
            raise ValueError(f"{name} has {size:,} bytes compressed to {there:,}, which is implausible")
        values = np.frombuffer(_exactly(member, _product(shape) * kind.itemsize), dtype=kind)
    return values.reshape(shape, order="F" if fortran else "C")


def _labels(archive: zipfile.ZipFile, path: Path, count: int) -> Tensor | None:
    name = f"{LABELS}.npy"
    if name not in archive.namelist():
        return None
    with archive.open(name) as member:
        shape, _, kind = header(member)
    if shape != (count,) or not np.issubdtype(kind, np.integer):
        raise DataError(
            f"{path}: {LABELS!r} is {kind} {list(shape)}. It must be {counted(count, 'integer')}, one per image."
        )
    values = array(archive, LABELS)
    outside = np.flatnonzero((values < 0) | (values.astype(np.float64) >= HUGE))
    if len(outside):
        raise DataError(wrong(int(values[outside[0]]), None, f"row {outside[0]} of {LABELS!r} in {path}"))
    return torch.from_numpy(values.astype(np.int64))


def _exactly(member: IO[bytes], size: int) -> bytearray:
    data = member.read(size)
    if len(data) != size:
        raise ValueError(f"{size - len(data):,} bytes are missing at its end")
    return bytearray(data)


def _product(shape: tuple[int, ...]) -> int:
    total = 1
    for side in shape:
        total *= int(side)
    return total


@contextmanager
def reading(path: Path, what: str = "an .npz of images") -> Iterator[None]:
    """Convert the errors that zipfile and numpy raise for a damaged file to a DataError.

    Args:
        path: The file.
        what: Description of the expected file, for the message.
    """
    try:
        yield
    except NanoGenError:
        raise
    except PermissionError as error:
        raise DataError(f"{path} cannot be read: {reason(error)}.") from error
    except Exception as error:  # damaged headers and zip files raise many types of errors
        text = str(error).partition("\n")[0][:200] or type(error).__name__
        raise DataError(f"{path} is damaged or cannot be read as {what} ({text}): write the file again.") from error
