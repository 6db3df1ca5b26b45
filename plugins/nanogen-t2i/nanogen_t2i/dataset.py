"""Webdataset tars as a map-style dataset: any sample by its number, so that a run's place in its data is a number."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nanogen_core.captions import decode_caption
from nanogen_core.damage import BadExample
from nanogen_core.data import Example, data_folder
from nanogen_core.errors import DataError
from nanogen_core.pictures import decode_image
from nanogen_t2i.cache import cached_index
from nanogen_t2i.config import WebDatasetConfig
from nanogen_t2i.shards import expanded, is_pattern, tars_of_folder, tars_of_pattern
from nanogen_t2i.tars import CUT, MISSING, Span, read_span


class WebDataset:
    """Images with captions in webdataset tars; `train` and `val` are different tars."""

    classes: tuple[str, ...] = ()

    def __init__(self, config: WebDatasetConfig):
        self._config = config

    def open(self, split: str, image_size: int, view: str) -> TarExamples:
        """One split, `train` or `val`; images come in their own size. Raises DataError for missing or damaged tars."""
        return TarExamples(self._validation() if split == "val" else self._train(), self._config.bad_examples)

    @staticmethod
    def recognises(source: str) -> bool:
        """Whether `root` may be this: tars by a pattern, in a folder, or in its `train`."""
        if is_pattern(source):
            return bool(expanded(source)) and all(file.suffix == ".tar" for file in expanded(source))
        folder = Path(source).expanduser()
        return any(folder.glob("*.tar")) or any(folder.glob("train/*.tar"))

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
    """The samples of all tars in order; one that lacks an image or a caption, or is lost to a cut, is a bad example."""

    def __init__(self, tars: Sequence[Path], bad_examples: float):
        self.bad_examples = bad_examples
        self._tars = list(tars)
        self._rows = [cached_index(path) for path in tars]
        ends = list(accumulate(len(rows) for rows in self._rows))
        self._starts = [0, *ends[:-1]]
        self._length = ends[-1]
        if not self._length:
            raise DataError(
                f"{self._tars[0]} and the {len(self._tars) - 1} tars after it hold no sample with an image and a "
                f"caption: each needs files such as 0001.jpg and 0001.txt."
            )

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Example:
        """An RGB image in its own size and its caption. Raises BadExample, naming the tar, where one cannot be read."""
        caption, (path, row) = self.caption(index), self._row(index)
        span = Span(*row[:2].tolist())
        if span.offset == MISSING:
            raise BadExample("no image", f"The caption at byte {row[2]} of {path} has no image beside it.")
        return Example(decode_image(read_span(path, span), f"at byte {span.offset} of {path}"), caption=caption)

    def caption(self, index: int) -> str:
        """The caption alone, without white space around it. Raises BadExample."""
        path, row = self._row(index)
        span = Span(*row[2:].tolist())
        if span.offset == CUT:
            raise BadExample("tar cut short", f"{path} is no whole, plain tar: it breaks off at byte {span.size}.")
        if span.offset == MISSING:
            raise BadExample("no caption", f"The image at byte {row[0]} of {path} has no caption beside it.")
        return decode_caption(read_span(path, span), f"at byte {span.offset} of {path}")

    def files(self) -> list[Path]:
        """The tars, in order."""
        return self._tars

    def _row(self, index: int) -> tuple[Path, NDArray[np.int64]]:
        tar = bisect_right(self._starts, index) - 1
        return self._tars[tar], self._rows[tar][index - self._starts[tar]]
