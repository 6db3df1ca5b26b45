"""Images of a folder, with optional files of labels or prompts."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nanogen_core.errors import DataError
from nanogen_core.tensors import Batch
from nanogen_data.image_folders import SkippedFiles, images_below
from nanogen_data.notes import warn_once
from nanogen_data.pictures import read_image
from nanogen_eval import progress
from nanogen_eval.image_writer import MARKER
from nanogen_eval.sources import sidecars
from nanogen_eval.sources.headers import formats
from nanogen_files.errors import counted
from nanogen_files.folder_lock import HOLDER
from nanogen_files.images import to_tensor

log = logging.getLogger(__name__)

SHEETS = {"grid.png"}  # contact sheets of samples, as `nanogen sample` writes them
SIDECARS = (sidecars.LABELS, sidecars.PROMPTS, sidecars.LINES, "scores.json", "scores.jsonl", "metadata.jsonl")
#: Entries that are not images and need no warning. An evaluation writes hidden files beside the images.
KNOWN = frozenset({*SIDECARS, progress.FOLDER, progress.LOCK, progress.LOCK + HOLDER, MARKER})
ALIASES = {"jpeg": "jpg", "jpe": "jpg", "jfif": "jpg", "tiff": "tif"}  # suffix -> usual suffix of the format


class Folder:
    """Images of a folder and its subfolders, in natural order (2.png before 10.png).

    Labels are read from `labels.csv` (columns `file` and `label`). Prompts are read from `prompts.csv` (columns `file`
    and `prompt`), or from `prompts.txt` (one line per image). Files that are ignored are logged.

    Attributes:
        names: Paths of the images, relative to the folder.
        total: Number of images in the folder.
    """

    def __init__(self, folder: Path, *, count: int | None = None):
        """List the images, and read labels and prompts.

        Args:
            count: Number of images to use; all by default.

        Raises:
            DataError: There are no images, or the labels or prompts do not match them.
        """
        self._folder = folder
        left = SkippedFiles(used=KNOWN)
        files = _images(folder, left)
        warn_once(log, left.summary(folder))
        self.total = len(files)
        warn_fewer(folder, self.total, count)
        names = [file.relative_to(folder).as_posix() for file in files]
        labels, prompts = sidecars.labels(folder, names), sidecars.prompts(folder, names)
        self._files, self.names = files[:count], names[:count]
        self.requests = Batch(
            torch.arange(len(self._files)),
            labels=None if labels is None else torch.tensor(labels[:count]),
            captions=None if prompts is None else prompts[:count],
        )
        suffixes = {file.suffix.lower().lstrip(".") for file in self._files}
        kinds = sorted({ALIASES.get(suffix, suffix) for suffix in suffixes})
        self.settings: Mapping[str, Any] = {"images": "files", "formats": kinds, **formats(self._files)}
        self.about: Mapping[str, Any] = {"folder": str(folder), "files": _digest(folder, self._files)}

    def read(self, spans: Iterable[range]) -> Iterator[Batch]:
        for span in spans:
            for rows, images in _by_size(span, (self._image(row) for row in span)):
                yield self.requests.part(rows[0], rows[-1] + 1)._replace(images=images)

    def _image(self, row: int) -> Tensor:
        return to_tensor(read_image(self._files[row]))  # [3, H, W]


def image_files(folder: Path) -> list[Path]:
    """List the image files of a folder and its subfolders in natural order, without `grid.png`.

    Raises DataError if there are none.
    """
    return _images(folder, SkippedFiles())


def warn_fewer(path: Path, total: int, count: int | None) -> None:
    """Log a warning if a folder or file has fewer images than `count`."""
    if count is not None and count > total:
        warn_once(log, f"{path} has {counted(total, 'image')}, fewer than --count {count}: all of them are evaluated.")


def natural(text: str) -> list[tuple[int, str]]:
    """Return a sort key that orders numbers inside a text by value."""
    words = re.split(r"([0-9]{1,1000})", text)
    return [(int(word), "") if number % 2 else (-1, word) for number, word in enumerate(words)]


def _images(folder: Path, left: SkippedFiles) -> list[Path]:
    names = list(images_below(folder, left))
    sheets = [name for name in names if Path(name).name in SHEETS]
    for name in sheets:
        left.add("sheets of samples", name)
    files = [folder / name for name in names if name not in sheets]
    if not files:
        raise DataError(
            f"There are no images in {folder}: give a folder with PNG, JPEG or WebP files, or other images that Pillow"
            " reads."
        )
    return sorted(files, key=lambda file: natural(str(file.relative_to(folder))))


def _by_size(rows: Iterable[int], images: Iterable[Tensor]) -> Iterator[tuple[list[int], Tensor]]:
    """Batch consecutive images of equal size. Yields their rows and their images [B, 3, H, W]."""
    for _, group in groupby(zip(rows, images, strict=True), key=lambda pair: pair[1].shape):
        numbers, pictures = zip(*group, strict=True)
        yield list(numbers), torch.stack(pictures)


def _digest(folder: Path, files: Sequence[Path]) -> str:
    """Hash of names, sizes and modification times. Equal if a resumed evaluation has the same images."""
    facts = [(file.relative_to(folder).as_posix(), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return sha256(repr(facts).encode()).hexdigest()[:16]
