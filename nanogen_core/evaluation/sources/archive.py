"""An `.npz` batch of samples as other programs write it, read row by row inside the zip file."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from tokenize import TokenError  # of numpy, for a header that is no Python literal
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor

from nanogen_core.errors import DataError
from nanogen_core.evaluation.pixels import from_uint8
from nanogen_core.evaluation.sources.looks import listed
from nanogen_core.tensors import Batch

IMAGES, LABELS = "arr_0", "arr_1"
DAMAGED = (OSError, ValueError, EOFError, KeyError, SyntaxError, TokenError, zipfile.BadZipFile, zlib.error)


class Archive:
    """`arr_0`: uint8 [N, H, W, 3]; `arr_1`, where it is there: whole numbers [N], the labels. Only the rows at hand
    are in memory. Raises DataError for what is no such file."""

    def __init__(self, path: Path, *, count: int | None = None):
        self._path = path
        try:
            with zipfile.ZipFile(path) as archive:
                shape = self._shape(archive)
                labels = _labels(archive, path, shape[0])
        except DAMAGED as error:
            raise DataError(f"{path} cannot be read as an .npz of images ({error}): write it again.") from error
        number = shape[0] if count is None else min(count, shape[0])
        self._row = shape[1:]  # H, W, 3
        self.questions = Batch(torch.arange(number), labels=None if labels is None else labels[:number])
        height, width, _ = self._row
        self.settings: Mapping[str, Any] = {"images": "array", "sizes": listed([(width, height)]), "modes": ["RGB"]}
        self.about: Mapping[str, Any] = {
            "file": str(path),
            "bytes": path.stat().st_size,
            "changed": path.stat().st_mtime_ns,
        }

    def read(self, spans: Iterable[range]) -> Iterator[Batch]:
        try:
            with zipfile.ZipFile(self._path) as archive, archive.open(f"{IMAGES}.npy") as member:
                _header(member)
                start, size = member.tell(), int(np.prod(self._row))
                for span in spans:
                    member.seek(start + span.start * size)
                    yield self.questions.part(span.start, span.stop)._replace(images=self._images(member, len(span)))
        except DAMAGED as error:
            raise DataError(f"{self._path} is damaged ({error}): write it again.") from error

    def _images(self, member: IO[bytes], count: int) -> Tensor:
        """The next images [count, 3, H, W]."""
        data = member.read(count * int(np.prod(self._row)))
        pixels = torch.frombuffer(bytearray(data), dtype=torch.uint8).reshape(count, *self._row)
        return from_uint8(pixels.permute(0, 3, 1, 2).contiguous())

    def _shape(self, archive: zipfile.ZipFile) -> tuple[int, ...]:
        if f"{IMAGES}.npy" not in archive.namelist():
            names = ", ".join(archive.namelist()) or "nothing"
            raise DataError(f"{self._path} has no {IMAGES!r}, only {names}: images to evaluate stand under {IMAGES!r}.")
        with archive.open(f"{IMAGES}.npy") as member:
            shape, fortran, kind = _header(member)
        if kind != np.uint8 or len(shape) != 4 or shape[3] != 3 or fortran or not shape[0]:
            raise DataError(
                f"{self._path}: {IMAGES!r} is {kind} {list(shape)}{' in Fortran order' if fortran else ''}, and must be"
                " uint8 [N, H, W, 3] with at least one image."
            )
        return shape


def _header(member: IO[bytes]) -> tuple[tuple[int, ...], bool, Any]:
    """Shape, whether in Fortran order, and type of the array whose data come next."""
    version = np.lib.format.read_magic(member)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, kind = read(member)
    return tuple(shape), bool(fortran), kind


def _labels(archive: zipfile.ZipFile, path: Path, count: int) -> Tensor | None:
    if f"{LABELS}.npy" not in archive.namelist():
        return None
    with archive.open(f"{LABELS}.npy") as member:
        labels = np.lib.format.read_array(member, allow_pickle=False)
    if labels.shape != (count,) or not np.issubdtype(labels.dtype, np.integer):
        raise DataError(f"{path}: {LABELS!r} is {labels.dtype} {list(labels.shape)}, not {count} whole numbers.")
    return torch.from_numpy(labels.astype(np.int64))
