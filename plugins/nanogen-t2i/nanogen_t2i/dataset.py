"""Reads webdataset tars as a map-style dataset, so that a resumed run can continue at any sample."""

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
from nanogen_data.mixture import RootsDataset
from nanogen_data.notes import warn_once
from nanogen_data.pictures import decode_image
from nanogen_data.roots import is_url
from nanogen_data.stored_files import LocalFile, RemoteFile, StoredFile, over_files
from nanogen_files.errors import counted
from nanogen_files.reading import entries, is_file, is_folder, user_path
from nanogen_t2i.cache import cached_index
from nanogen_t2i.config import WebDatasetConfig
from nanogen_t2i.sample import CaptionKeys, missing_part_error
from nanogen_t2i.shards import TAR, first_of_pattern, is_pattern, stored_tars, tars_of_folder
from nanogen_t2i.tars import CUT, IMAGES, MISSING, Row, Span, read_spans, row_of

log = logging.getLogger(__name__)

ROOT, VALIDATION = "dataset.root", "dataset.validation"


class WebDataset(RootsDataset[WebDatasetConfig]):
    """Images with captions in webdataset tars. The splits `train` and `val` are different tars."""

    def _open(self, split: str, view: str) -> TarExamples:
        """Open a split of the root. Raises DataError for missing or damaged tars."""
        return TarExamples(self._validation() if split == "val" else self._train(), self._config)

    def _has_own(self, split: str) -> bool:
        return split == "val" and self._config.validation is not None

    @staticmethod
    def recognises(source: str) -> bool:
        """Return whether `source` is a tar, a pattern or URL of tars, or a folder of tars.

        The tars of a folder may be in its subfolder `train`.
        """
        if is_url(source):
            return TAR in source
        if is_pattern(source):
            first = first_of_pattern(source)
            return first is not None and first.suffix == TAR
        path = user_path(source)
        if is_file(path):
            return path.suffix == TAR
        return any(path.glob(f"*{TAR}")) or any(path.glob(f"train/*{TAR}"))

    def _train(self) -> Sequence[StoredFile]:
        root = self._config.root
        if root is not None and _names_tars(root):
            return stored_tars(root, ROOT, self._config.patience)
        folder = data_folder(root, "t2i")
        if not is_folder(folder / "train"):
            return _local(tars_of_folder(folder, ROOT))
        ignored = sum(1 for entry in entries(folder) if entry.name.endswith(TAR))
        if ignored:
            warn_once(log, f"Ignored in {folder}: {ignored} {TAR} files beside the folder `train`.")
        return _local(tars_of_folder(folder / "train", ROOT))

    def _validation(self) -> Sequence[StoredFile]:
        chosen, root = self._config.validation, self._config.root
        if chosen is not None:
            return stored_tars(chosen, VALIDATION, self._config.patience)
        if root is not None and _names_tars(root):
            raise DataError(f"{root!r} names only training tars. Set `{VALIDATION}` to the held-out tars.")
        folder = data_folder(root, "t2i") / "val"
        if not is_folder(folder):
            raise DataError(
                f"There is no folder {folder.absolute()} of held-out tars. Create it, or set `{VALIDATION}`."
            )
        return _local(tars_of_folder(folder, VALIDATION))


def _names_tars(root: str) -> bool:
    """Return whether a root names tars, not a folder of them."""
    return is_url(root) or is_pattern(root) or is_file(user_path(root))


def _local(paths: Sequence[Path]) -> list[LocalFile]:
    return [LocalFile(path) for path in paths]


class TarExamples:
    """The samples of all tars in order.

    A sample without an image or without any caption is corrupt. A truncated tar ends with one corrupt sample.
    """

    def __init__(self, tars: Sequence[StoredFile], config: WebDatasetConfig):
        self.max_corrupt = config.max_corrupt
        self._tars = list(tars)
        self._captions = CaptionKeys(config)
        images = IMAGES if config.image is None else frozenset({config.image.lower()})
        self._rows = over_files(
            lambda tar: cached_index(tar, images, self._captions.files), tars, remote=bool(self.remote_files())
        )
        ends = list(accumulate(len(rows) for rows in self._rows))
        self._starts = [0, *ends[:-1]]
        self._length = ends[-1]
        if not self._length:
            raise DataError(
                f"There are no samples in {self._named_tars()}. Write samples as files such as 0001.jpg and 0001.txt."
            )
        self._refuse_absent_keys()

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Example:
        """Read an RGB image in its original size, and its captions.

        Raises CorruptSampleError if the image or all captions are missing, or if one of them is damaged.
        """
        tar, row = self._row(index)
        captions, image = self._read(tar, row, [row.image])
        if image is None:
            raise missing_part_error(tar, row, self._captions)
        return Example(decode_image(image, f"at byte {row.image.offset} of {tar}"), caption=captions)

    def caption(self, index: int) -> Captions:
        """Read only the captions, stripped of white space.

        Raises CorruptSampleError if all captions are missing, or if one of them is damaged.
        """
        return self._read(*self._row(index), [])[0]

    def files(self) -> list[Path]:
        """Return the tars on this machine, in order."""
        return [tar.path for tar in self._tars if isinstance(tar, LocalFile)]

    def remote_files(self) -> list[RemoteFile]:
        """Return the remote tars, in order."""
        return [tar for tar in self._tars if isinstance(tar, RemoteFile)]

    def _read(self, tar: StoredFile, row: Row, more: list[Span]) -> tuple[Captions, bytes | None]:
        """Read the captions of a sample, and one more part (None if it is missing), at once."""
        if row.image.offset == CUT:
            raise CorruptSampleError(
                "tar cut short",
                f"{tar} is truncated or damaged: it cannot be read from byte {row.image.size} on. Write it again.",
            )
        if all(span.offset == MISSING for span in row.captions):
            raise missing_part_error(tar, row, self._captions)
        spans = [*row.captions, *more]
        present = [span for span in spans if span.offset != MISSING]
        data = dict(zip(present, read_spans(tar, present), strict=True))
        contents = [data.get(span) for span in spans]
        places = [f"at byte {span.offset} of {tar}" for span in row.captions]
        place = f"with the header at byte {row.first} of {tar}"
        captions = self._captions.captions(contents[: len(places)], places, place)
        return captions, contents[-1] if more else None

    def _named_tars(self) -> str:
        """Return the first tar and the number of further ones, for an error message."""
        further = len(self._tars) - 1
        return f"{self._tars[0]}" + (f" and {counted(further, 'further tar')}" if further else "")

    def _refuse_absent_keys(self) -> None:
        """Raise DataError for one of several caption keys that no sample has."""
        files = self._captions.files
        for number, key in enumerate(files if len(files) > 1 else ()):
            column = 2 + 2 * number
            if all(bool((rows[:, column] < 0).all()) for rows in self._rows):
                raise DataError(
                    f"No sample of {self._named_tars()} has a file with the "
                    f"key {key!r}, which `dataset.captions` names. Correct the key, or remove it."
                )

    def _row(self, index: int) -> tuple[StoredFile, Row]:
        tar = bisect_right(self._starts, index) - 1
        values: NDArray[np.int64] = self._rows[tar][index - self._starts[tar]]
        return self._tars[tar], row_of(values)
