"""Webdataset tars as a map-style dataset: any sample by its number, so that a run's place in its data is a number."""

from __future__ import annotations

import logging
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nanogen_core.data import Example, data_folder, decode_image
from nanogen_core.errors import DataError
from nanogen_t2i.cache import cached_index
from nanogen_t2i.config import WebDatasetConfig
from nanogen_t2i.shards import is_pattern, tars_of_folder, tars_of_pattern
from nanogen_t2i.tars import Span, complete, read_span

log = logging.getLogger(__name__)


class WebDataset:
    """Images with captions in webdataset tars; `train` and `val` are different tars."""

    classes: tuple[str, ...] = ()

    def __init__(self, config: WebDatasetConfig):
        self._config = config

    def open(self, split: str, image_size: int, view: str) -> TarExamples:
        """One split, `train` or `val`; images come in their own size. Raises DataError for missing or damaged tars."""
        return TarExamples(self._validation() if split == "val" else self._train())

    def _train(self) -> list[Path]:
        root = self._config.root
        if root is not None and is_pattern(root):
            return tars_of_pattern(root)
        folder = data_folder(root, "t2i")
        return tars_of_folder(folder / "train" if (folder / "train").is_dir() else folder)

    def _validation(self) -> list[Path]:
        chosen, root = self._config.validation, self._config.root
        if chosen is not None:
            return tars_of_pattern(chosen) if is_pattern(chosen) else tars_of_folder(Path(chosen).expanduser())
        if root is not None and is_pattern(root):
            raise DataError(f"The pattern {root!r} names training tars alone: set `dataset.validation` as well.")
        folder = data_folder(root, "t2i") / "val"
        if not folder.is_dir():
            raise DataError(f"There is no folder {folder} of held-out tars: make it, or set `dataset.validation`.")
        return tars_of_folder(folder)


class TarExamples:
    """The samples of all tars in order, without those that lack an image or a caption: they are counted and logged."""

    def __init__(self, tars: Sequence[Path]):
        self._tars = list(tars)
        found = [cached_index(path) for path in tars]
        self._rows = [complete(rows) for rows in found]
        ends = list(accumulate(len(rows) for rows in self._rows))
        self._starts = [0, *ends[:-1]]
        self._length = ends[-1]
        self.skipped = sum(map(len, found)) - self._length
        self._report()

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Example:
        """An RGB image in its own size and its caption. Raises DataError, naming the tar, where one cannot be read."""
        path, row = self._row(index)
        image = decode_image(read_span(path, Span(*row[:2].tolist())), f"at byte {row[0]} of {path}")
        return Example(image, caption=self.caption(index))

    def caption(self, index: int) -> str:
        """The caption alone, without white space around it."""
        path, row = self._row(index)
        try:
            return read_span(path, Span(*row[2:].tolist())).decode("utf-8").strip()
        except UnicodeDecodeError as error:
            raise DataError(f"The caption at byte {row[2]} of {path} is not UTF-8: write it again.") from error

    def _row(self, index: int) -> tuple[Path, NDArray[np.int64]]:
        tar = bisect_right(self._starts, index) - 1
        return self._tars[tar], self._rows[tar][index - self._starts[tar]]

    def _report(self) -> None:
        if not self._length:
            raise DataError(
                f"{self._tars[0]} and the {len(self._tars) - 1} tars after it hold no sample with an image and a "
                f"caption: each needs files such as 0001.jpg and 0001.txt."
            )
        if self.skipped:
            log.warning("Skipped %d samples of %d without an image or a caption.", self.skipped, self._length)
