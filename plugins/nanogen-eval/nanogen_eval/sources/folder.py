"""A folder of images from any program, with the labels or prompts that may lie beside them."""

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
from nanogen_eval.sources import sidecars as beside
from nanogen_eval.sources.headers import looks
from nanogen_files.images import to_tensor

log = logging.getLogger(__name__)

SHEETS = {"grid.png"}  # many samples in one picture, which other programs and `nanogen sample` write beside them
#: Files beside images that have a use: what they answer, and what evaluating them wrote.
KNOWN = frozenset({beside.LABELS, beside.PROMPTS, beside.LINES, "scores.json", "scores.jsonl", "metadata.jsonl"})
KINDS = {"jpeg": "jpg", "jpe": "jpg", "jfif": "jpg", "tiff": "tif"}  # other names of a format


class Folder:
    """The images of a folder and of those inside it, in natural order (2.png before 10.png).

    `labels.csv` (columns `file` and `label`, whole numbers), `prompts.csv` (`file` and `prompt`) or `prompts.txt` (a
    line an image) say what they answer. `names` are the images' paths in the folder. Raises DataError where there are
    no images, or these files do not fit them; logs what is left out.
    """

    def __init__(self, folder: Path, *, count: int | None = None):
        self._folder = folder
        left = SkippedFiles(used=KNOWN)
        files = _judged(folder, left)
        warn_once(log, left.summary(folder))
        self.total = len(files)
        say_fewer(folder, self.total, count)
        names = [file.relative_to(folder).as_posix() for file in files]
        labels, prompts = beside.labels(folder, names), beside.prompts(folder, names)
        self._files, self.names = files[:count], names[:count]
        self.questions = Batch(
            torch.arange(len(self._files)),
            labels=None if labels is None else torch.tensor(labels[:count]),
            captions=None if prompts is None else prompts[:count],
        )
        suffixes = {file.suffix.lower().lstrip(".") for file in self._files}
        kinds = sorted({KINDS.get(suffix, suffix) for suffix in suffixes})
        self.settings: Mapping[str, Any] = {"images": "files", "formats": kinds, **looks(self._files)}
        self.about: Mapping[str, Any] = {"folder": str(folder), "files": _digest(folder, self._files)}

    def read(self, spans: Iterable[range]) -> Iterator[Batch]:
        for span in spans:
            for rows, images in _by_size(span, (self._image(row) for row in span)):
                yield self.questions.part(rows[0], rows[-1] + 1)._replace(images=images)

    def _image(self, row: int) -> Tensor:
        return to_tensor(read_image(self._files[row]))  # [3, H, W]


def image_files(folder: Path) -> list[Path]:
    """The image files in and below a folder, in natural order of their paths. Raises DataError where there are none."""
    return _judged(folder, SkippedFiles())


def say_fewer(place: Path, there: int, asked: int | None) -> None:
    """Logs that a folder or file has fewer images than were asked for."""
    if asked is not None and asked > there:
        warn_once(log, f"{place} holds {there} images, fewer than the {asked} that were asked for: all are judged.")


def natural(text: str) -> list[tuple[int, str]]:
    """A sort key by which numbers inside a text stand in the order of their values."""
    words = re.split(r"([0-9]{1,1000})", text)
    return [(int(word), "") if number % 2 else (-1, word) for number, word in enumerate(words)]


def _judged(folder: Path, left: SkippedFiles) -> list[Path]:
    names = list(images_below(folder, left))
    sheets = [name for name in names if Path(name).name in SHEETS]
    for name in sheets:
        left.add("sheets of samples", name)
    seen = [folder / name for name in names if name not in sheets]
    if not seen:
        raise DataError(
            f"There are no images in {folder}: a folder to evaluate holds PNG, JPEG or WebP files, or others that "
            f"Pillow reads."
        )
    return sorted(seen, key=lambda file: natural(str(file.relative_to(folder))))


def _by_size(rows: Iterable[int], images: Iterable[Tensor]) -> Iterator[tuple[list[int], Tensor]]:
    """Neighbours of one size together: their rows, and their images [B, 3, H, W]."""
    for _, group in groupby(zip(rows, images, strict=True), key=lambda pair: pair[1].shape):
        numbers, pictures = zip(*group, strict=True)
        yield list(numbers), torch.stack(pictures)


def _digest(folder: Path, files: Sequence[Path]) -> str:
    """Of names, sizes and times of change: whether an evaluation that was stopped goes on with the same images."""
    facts = [(file.relative_to(folder).as_posix(), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return sha256(repr(facts).encode()).hexdigest()[:16]
