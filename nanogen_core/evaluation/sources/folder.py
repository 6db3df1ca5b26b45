"""A folder of images from any program, with the labels or prompts that may lie beside them."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nanogen_core.data import decode_image
from nanogen_core.errors import DataError
from nanogen_core.evaluation.sources.looks import looks
from nanogen_core.images import to_tensor
from nanogen_core.tensors import Batch

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp"}
SHEETS = {"grid.png"}  # many samples in one picture, which other programs and `nanogen sample` write beside them
LABELS, PROMPTS, LINES = "labels.csv", "prompts.csv", "prompts.txt"


class Folder:
    """The PNG, JPEG and WebP files of a folder and of those inside it, in natural order (2.png before 10.png).

    `labels.csv` (columns `file` and `label`, whole numbers), `prompts.csv` (`file` and `prompt`) or `prompts.txt` (a
    line an image) say what they answer. Raises DataError where there are no images, or these files do not fit them.
    """

    def __init__(self, folder: Path, *, count: int | None = None):
        self._folder = folder
        self._files = image_files(folder)[:count]
        labels, prompts = _labels(folder, self._files), _prompts(folder, self._files)
        self.questions = Batch(torch.arange(len(self._files)), labels=labels, captions=prompts)
        kinds = sorted({file.suffix.lower().lstrip(".").replace("jpeg", "jpg") for file in self._files})
        self.settings: Mapping[str, Any] = {"images": "files", "formats": kinds, **looks(self._files)}
        self.about: Mapping[str, Any] = {"folder": str(folder), "files": _digest(folder, self._files)}

    def read(self, spans: Iterable[range]) -> Iterator[Batch]:
        for span in spans:
            for rows, images in _by_size(span, (self._image(row) for row in span)):
                yield self.questions.part(rows[0], rows[-1] + 1)._replace(images=images)

    def _image(self, row: int) -> Tensor:
        file = self._files[row]
        return to_tensor(decode_image(file.read_bytes(), str(file)))  # [3, H, W]


def image_files(folder: Path) -> list[Path]:
    """The image files in and below a folder, in natural order of their paths. Raises DataError where there are none."""
    files = [f for f in folder.rglob("*") if f.suffix.lower() in SUFFIXES and f.name not in SHEETS and f.is_file()]
    seen = [file for file in files if not any(part.startswith(".") for part in file.relative_to(folder).parts)]
    if not seen:
        raise DataError(f"There are no images in {folder}: a folder to evaluate holds PNG, JPEG or WebP files.")
    return sorted(seen, key=lambda file: natural(str(file.relative_to(folder))))


def natural(text: str) -> list[tuple[int, str]]:
    """A sort key by which numbers inside a text stand in the order of their values."""
    words = re.split(r"(\d+)", text)
    return [(int(word), "") if word.isdecimal() else (-1, word) for word in words]


def _by_size(rows: Iterable[int], images: Iterable[Tensor]) -> Iterator[tuple[list[int], Tensor]]:
    """Neighbours of one size together: their rows, and their images [B, 3, H, W]."""
    for _, group in groupby(zip(rows, images, strict=True), key=lambda pair: pair[1].shape):
        numbers, pictures = zip(*group, strict=True)
        yield list(numbers), torch.stack(pictures)


def _labels(folder: Path, files: Sequence[Path]) -> Tensor | None:
    found = _column(folder / LABELS, "label", folder, files)
    if found is None:
        return None
    wrong = next((text for text in found if not text.strip().isdecimal()), None)
    if wrong is not None:
        raise DataError(f"{folder / LABELS}: the label {wrong!r} is no whole number: write the number of the class.")
    return torch.tensor([int(text) for text in found])


def _prompts(folder: Path, files: Sequence[Path]) -> list[str] | None:
    path = folder / LINES
    if not path.is_file():
        return _column(folder / PROMPTS, "prompt", folder, files)
    lines = path.read_text(encoding="utf-8").splitlines()
    if len(lines) < len(files):
        raise DataError(f"{path} has {len(lines)} lines for {len(files)} images: write one prompt a line for each.")
    return lines[: len(files)]


def _column(path: Path, name: str, folder: Path, files: Sequence[Path]) -> list[str] | None:
    """The column of a CSV file for each image; None where there is no such file."""
    if not path.is_file():
        return None
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if not {"file", name} <= set(reader.fieldnames or ()):
            raise DataError(f"{path} needs a first line with the columns `file` and `{name}`.")
        values = {row["file"]: row[name] or "" for row in reader}
    names = [file.relative_to(folder).as_posix() for file in files]
    missing = next((name for name in names if name not in values), None)
    if missing is not None:
        raise DataError(f"{path} says nothing of {missing!r}: it must have a line for each image of the folder.")
    return [values[name] for name in names]


def _digest(folder: Path, files: Sequence[Path]) -> str:
    """Of names, sizes and times of change: whether an evaluation that was stopped goes on with the same images."""
    facts = [(file.relative_to(folder).as_posix(), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return sha256(repr(facts).encode()).hexdigest()[:16]
