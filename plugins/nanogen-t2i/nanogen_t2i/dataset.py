"""Webdataset tars as a map-style dataset, so a resumed run continues at a sample number."""

from __future__ import annotations

import logging
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nanogen_core.errors import DataError
from nanogen_data.captions import Captions
from nanogen_data.corrupt import CorruptSampleError
from nanogen_data.loader import Example, data_folder
from nanogen_data.notes import warn_once
from nanogen_data.pictures import decode_image
from nanogen_files.reading import entries, is_file, is_folder, user_path
from nanogen_t2i.cache import cached_index
from nanogen_t2i.config import WebDatasetConfig
from nanogen_t2i.sample import CaptionKey, missing_part_error
from nanogen_t2i.shards import TAR, first_of_pattern, is_pattern, tars_of, tars_of_folder
from nanogen_t2i.tars import CUT, IMAGES, MISSING, Row, read_span, row_of

log = logging.getLogger(__name__)

ROOT, VALIDATION = "dataset.root", "dataset.validation"


class WebDataset:
    """Images with captions in webdataset tars. The splits `train` and `val` are different tars."""

    classes: tuple[str, ...] = ()

    def __init__(self, config: WebDatasetConfig):
        self._config = config

    def open(self, split: str, image_size: int, view: str) -> TarExamples:
        """Open a split.

        Args:
            split: `"train"` or `"val"`.
            image_size: Not used: images have their original size.
            view: Not used: examples have captions.

        Raises:
            DataError: Tars are missing or damaged.
        """
        return TarExamples(self._validation() if split == "val" else self._train(), self._config)

    @staticmethod
    def recognises(source: str) -> bool:
        """Return whether `source` is a pattern of tars, a tar, or a folder with tars in it or in its `train`."""
        if is_pattern(source):
            first = first_of_pattern(source)
            return first is not None and first.suffix == TAR
        path = user_path(source)
        if is_file(path):
            return path.suffix == TAR
        return any(path.glob(f"*{TAR}")) or any(path.glob(f"train/*{TAR}"))

    def _train(self) -> list[Path]:
        root = self._config.root
        if root is not None and (is_pattern(root) or is_file(user_path(root))):
            return tars_of(root, ROOT)
        folder = data_folder(root, "t2i")
        if not is_folder(folder / "train"):
            return tars_of_folder(folder, ROOT)
        ignored = sum(1 for entry in entries(folder) if entry.name.endswith(TAR))
        if ignored:
            warn_once(log, f"Ignored in {folder}: {ignored} {TAR} files beside the folder `train`.")
        return tars_of_folder(folder / "train", ROOT)

    def _validation(self) -> list[Path]:
        chosen, root = self._config.validation, self._config.root
        if chosen is not None:
            return tars_of(chosen, VALIDATION)
        if root is not None and (is_pattern(root) or is_file(user_path(root))):
            raise DataError(f"{root!r} names only training tars. Set `{VALIDATION}` to the held-out tars.")
        folder = data_folder(root, "t2i") / "val"
        if not is_folder(folder):
            raise DataError(f"There is no folder {folder} of held-out tars. Create it, or set `{VALIDATION}`.")
        return tars_of_folder(folder, VALIDATION)


class TarExamples:
    """The samples of all tars in order. A sample without an image or caption, or in a truncated part, is corrupt."""

    def __init__(self, tars: Sequence[Path], config: WebDatasetConfig):
        self.max_corrupt = config.max_corrupt
        self._tars = list(tars)
        self._caption = CaptionKey.of(config.caption, lines=config.caption_lines)
        images = IMAGES if config.image is None else frozenset({config.image.lower()})
        self._rows = [cached_index(path, images, self._caption.key) for path in tars]
        ends = list(accumulate(len(rows) for rows in self._rows))
        self._starts = [0, *ends[:-1]]
        self._length = ends[-1]
        if not self._length:
            raise DataError(
                f"{self._tars[0]} and the {len(self._tars) - 1} tars after it have no samples. Write samples as files "
                "such as 0001.jpg and 0001.txt."
            )

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Example:
        """Read an RGB image in its original size, and its captions. Raises CorruptSampleError."""
        caption, (path, row) = self.caption(index), self._row(index)
        if row.image.offset == MISSING:
            raise missing_part_error(path, row, self._caption)
        place = f"at byte {row.image.offset} of {path}"
        return Example(decode_image(read_span(path, row.image), place), caption=caption)

    def caption(self, index: int) -> Captions:
        """Read only the captions, stripped of white space. Raises CorruptSampleError."""
        path, row = self._row(index)
        if row.caption.offset == CUT:
            raise CorruptSampleError(
                "tar cut short",
                f"{path} is truncated or damaged: it cannot be read from byte {row.caption.size} on. Write it again.",
            )
        if row.caption.offset == MISSING:
            raise missing_part_error(path, row, self._caption)
        return self._caption.captions(read_span(path, row.caption), f"at byte {row.caption.offset} of {path}")

    def files(self) -> list[Path]:
        """Return the tars, in order."""
        return self._tars

    def _row(self, index: int) -> tuple[Path, Row]:
        tar = bisect_right(self._starts, index) - 1
        values: NDArray[np.int64] = self._rows[tar][index - self._starts[tar]]
        return self._tars[tar], row_of(values)
