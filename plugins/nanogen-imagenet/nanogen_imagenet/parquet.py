"""The parquet layout of Hugging Face image datasets: `image` {bytes, path} and `label`, in row groups."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Sequence
from functools import cached_property, lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow  # type: ignore[import-untyped]
import pyarrow.parquet  # type: ignore[import-untyped]

from nanogen_core.damage import BadExample
from nanogen_core.data import Example, data_folder
from nanogen_core.errors import DataError, listing
from nanogen_core.pictures import decode_image
from nanogen_imagenet.config import ParquetConfig
from nanogen_imagenet.names import listed_names

COLUMNS = ("image", "label")
PREFIXES = {"train": "train-", "val": "validation-"}
KEPT_GROUPS = 4  # row groups in memory; Hugging Face writes about 100 images, 10 MB, into each


class ImageNetParquet:
    """Splits by file name (`train-00000-of-00294.parquet`, `validation-...`); nothing is read but what is asked for."""

    def __init__(self, config: ParquetConfig):
        self._config = config

    @cached_property
    def root(self) -> Path:
        """The folder with the files. Raises DataError where it is missing."""
        root = data_folder(self._config.root, "imagenet")
        return root / "data" if (root / "data").is_dir() else root

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Class names as the files' `huggingface` metadata say them, or else the lines of `classes.txt`."""
        return _names_in(open_file(self._files("train")[0])) or listed_names(self.root)

    def open(self, split: str, image_size: int, view: str) -> ParquetExamples:
        """One split, `train` or `val`; images come in their own size. Raises DataError where it has no files."""
        return ParquetExamples(self._files(split), self._config.bad_examples)

    @staticmethod
    def recognises(source: str) -> bool:
        """Whether `root` may be this: a folder of `train-*.parquet` with the columns of images and labels."""
        folder = Path(source).expanduser()
        files = sorted([*folder.glob("train-*.parquet"), *folder.glob("data/train-*.parquet")])
        return bool(files) and set(COLUMNS) <= set(pyarrow.parquet.read_schema(files[0]).names)

    def _files(self, split: str) -> list[Path]:
        files = sorted(self.root.glob(f"{PREFIXES.get(split, f'{split}-')}*.parquet"))
        if not files:
            there = listing({path.name.partition("-")[0] for path in self.root.glob("*.parquet")})
            raise DataError(
                f"There are no files {PREFIXES.get(split, f'{split}-')}*.parquet in {self.root}, only of the splits: "
                f"{there}. Set `dataset.root` to the folder that has them."
            )
        return files


class Group(NamedTuple):
    """One row group of one file, the unit that is read at once."""

    path: Path
    number: int


class ParquetExamples:
    """Random access to the rows of all files: a row group is decoded when one of its rows is asked for."""

    def __init__(self, files: Sequence[Path], bad_examples: float):
        self.bad_examples = bad_examples
        self._files = list(files)
        sizes = [(Group(path, number), rows) for path in files for number, rows in enumerate(_group_sizes(path))]
        self._groups = [group for group, _ in sizes]
        ends = list(accumulate(rows for _, rows in sizes))
        self._starts = [0, *ends[:-1]]
        self._length = ends[-1] if ends else 0

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Example:
        """An RGB image in its own size, and its label. Raises BadExample, naming the row, where it cannot be read."""
        place = bisect_right(self._starts, index) - 1
        group, row = self._groups[place], index - self._starts[place]
        image, label = (read_group(group).column(name)[row].as_py() for name in COLUMNS)
        name = f"{group.path} row group {group.number} row {row}"
        if label is None or label < 0:
            raise BadExample("no label", f"The image {name} has no label: give it one or take it away.")
        return Example(decode_image((image or {}).get("bytes") or b"", name), label)

    def files(self) -> list[Path]:
        """The parquet files, in order."""
        return self._files

    def __getitems__(self, indices: Sequence[int]) -> list[Example]:
        """Many rows, each row group read once however the rows are spread."""
        found = {index: self[index] for index in sorted(set(indices))}
        return [found[index] for index in indices]


def open_file(path: Path) -> pyarrow.parquet.ParquetFile:
    """A parquet file, mapped into memory. Raises DataError for another kind of file, or without the two columns."""
    try:
        file = pyarrow.parquet.ParquetFile(path, memory_map=True)
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{path} is not a whole parquet file ({error}): fetch it again.") from error
    missing = set(COLUMNS) - set(file.schema_arrow.names)
    if missing:
        raise DataError(
            f"{path} has no column {listing(missing)!r}, only: {listing(file.schema_arrow.names)}. The layout needs "
            f"`image` (bytes, path) and `label`."
        )
    return file


@lru_cache(maxsize=KEPT_GROUPS)
def read_group(group: Group) -> pyarrow.Table:
    """The images (still encoded) and labels of a row group."""
    try:
        return open_file(group.path).read_row_group(group.number, columns=list(COLUMNS), use_threads=False)
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{group.path} is damaged in row group {group.number} ({error}): fetch it again.") from error


def _group_sizes(path: Path) -> list[int]:
    metadata = open_file(path).metadata
    return [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]


def _names_in(file: pyarrow.parquet.ParquetFile) -> tuple[str, ...]:
    """The label names of the `huggingface` schema metadata; empty where the file has none."""
    described: Any = json.loads((file.schema_arrow.metadata or {}).get(b"huggingface", b"{}"))
    return tuple(described.get("info", {}).get("features", {}).get("label", {}).get("names", ()))
