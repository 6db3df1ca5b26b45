"""The dataset `arrow`."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any

import pyarrow
from attrs import frozen

from nanogen_arrow.columns import CONDITIONS, caption_columns, condition_column, has_captions, image_column
from nanogen_arrow.config import ArrowConfig
from nanogen_arrow.features import class_names
from nanogen_arrow.images import image_file, paths_without_bytes, read_cell_image
from nanogen_arrow.label_check import refuse_wrong_labels
from nanogen_arrow.layout import files_of, is_saved, parquet_files
from nanogen_arrow.pieces import Piece, pieces_of, read_piece, schema_of, value, without_nulls
from nanogen_core.errors import DataError, listing
from nanogen_data.captions import Captions, captions_of, mixed, nth
from nanogen_data.corrupt import CorruptSampleError
from nanogen_data.labels import checked
from nanogen_data.loader import Example, data_folder
from nanogen_data.mixture import RootsDataset
from nanogen_files import text_files
from nanogen_files.reading import is_file, user_path

CLASSES = "classes.txt"


class Arrow(RootsDataset[ArrowConfig]):
    """Reads folders of `datasets.save_to_disk` and parquet files in the layout of the Hugging Face hub.

    The library `datasets` is not needed.

    Args:
        config: The options.
        home: The folder under NANOGEN_DATA that is used without `root`.
    """

    def __init__(self, config: ArrowConfig, home: str = "arrow"):
        super().__init__(config)
        self._home = home

    @cached_property
    def root(self) -> Path:
        """The folder of the dataset. Raises DataError if it is missing."""
        return data_folder(self._config.root, self._home)

    def _with(self, config: ArrowConfig) -> Arrow:
        return Arrow(config, self._home)

    def _classes(self) -> tuple[str, ...]:
        """Return the class names, from the features of the label column or from `classes.txt` in the root or `data`.

        Empty without either. Raises DataError if both exist and differ.
        """
        first = files_of(self.root, "train")[0]
        schema = schema_of(first)
        names = class_names(schema, condition_column(schema, self._config, first, "labels"), first)
        listed = [folder / CLASSES for folder in (self.root, self.root / "data") if is_file(folder / CLASSES)]
        if not listed:
            return names
        written = tuple(line.strip() for line in text_files.entries(listed[0], "class name"))
        if names and names != written:
            raise DataError(
                f"{listed[0]} has {len(written)} class names, which differ from the {len(names)} in the features of "
                f"{first}. Remove {CLASSES}, or write the same names into both."
            )
        return written

    def _open(self, split: str, view: str) -> Rows:
        """Open a split of the root.

        Raises DataError if the split is missing, has no column for the view, or has a label out of range.
        """
        files = files_of(self.root, split)
        columns = self._columns(files, view)
        if view == "labels":
            if not self.classes:
                raise DataError(
                    f"The labels in {self.root} have no names. Write {self.root / CLASSES} with one name per line, in "
                    f"the order of the labels."
                )
            refuse_wrong_labels(files, columns.condition, len(self.classes))
        return Rows(self.root, files, columns, len(self.classes) if view == "labels" else 0, self._config)

    @staticmethod
    def recognises(source: str) -> bool:
        """Return whether `source` is a `save_to_disk` folder, or has files `train-*.parquet` with captions."""
        folder = user_path(source)
        if is_saved(folder):
            return True
        files = parquet_files(folder, "train")
        return bool(files) and has_captions(schema_of(files[0]))

    def _columns(self, files: Sequence[Path], view: str) -> Columns:
        """Return the columns of images and of labels or captions.

        Raises DataError unless all files have all columns.
        """
        schema = schema_of(files[0])
        image = image_column(schema, self._config, files[0])
        captions = caption_columns(schema, self._config, files[0]) if view == "captions" else {}
        condition = next((name for name, _ in captions.values()), None)
        condition = condition or condition_column(schema, self._config, files[0], view)
        if condition is None:
            raise DataError(
                f"{files[0]} has no column with a usual name for {view}. Columns: {listing(schema.names)}. Set "
                f"`dataset.{CONDITIONS[view]}` to one of them."
            )
        columns = Columns(image, condition, captions)
        if image in columns.conditions:
            raise DataError(
                f"The column {image!r} of {files[0]} is chosen as both the image and the {CONDITIONS[view]}. Set "
                f"`dataset.image` and `dataset.{CONDITIONS[view]}` to different columns."
            )
        for file in files[1:]:
            other = schema_of(file)
            for name in columns.names:
                count = other.names.count(name)
                if count != 1 or other.field(name).type != schema.field(name).type:
                    found = other.field(name).type if count == 1 else f"present {count} times" if count else "missing"
                    raise DataError(
                        f"The column {name!r} is {schema.field(name).type} in {files[0].name} and {found} in {file}. "
                        f"Write all files of a split with the same columns."
                    )
        return columns


@frozen
class Columns:
    """The columns that a split reads.

    Args:
        image: The column of images.
        condition: The column of labels or captions; the first of several.
        captions: For each key of the option `captions`, the column and the number of the caption in its lists. The
            number None stands for all captions.
    """

    image: str
    condition: str
    captions: Mapping[str, tuple[str, int | None]]

    @property
    def conditions(self) -> tuple[str, ...]:
        """The columns of labels or captions."""
        return tuple(dict.fromkeys([self.condition, *(name for name, _ in self.captions.values())]))

    @property
    def names(self) -> tuple[str, ...]:
        """All columns."""
        return (self.image, *self.conditions)


class Rows:
    """The rows of all files in order, as examples.

    Args:
        root: The folder of the dataset.
        files: The tables.
        columns: The columns of the image and of its label or captions.
        classes: The number of classes. 0: examples have captions.
        config: The options.
    """

    def __init__(self, root: Path, files: Sequence[Path], columns: Columns, classes: int, config: ArrowConfig):
        self.max_corrupt = config.max_corrupt
        self._probabilities = dict(config.captions)
        self._root, self._files, self._columns, self._classes = root, list(files), columns, classes
        found = [pair for file in files for pair in pieces_of(file)]
        self._pieces = [piece for piece, _ in found]
        self._starts = list(accumulate((rows for _, rows in found), initial=0))

    def __len__(self) -> int:
        return self._starts[-1]

    def __getitem__(self, index: int) -> Example:
        """Read an RGB image in its original size, and its label or captions.

        Raises CorruptSampleError if the image or a caption is missing or damaged.
        """
        piece, row, place = self._locate(index)
        table = read_piece(piece, self._columns.names)
        if self._classes:
            cell = value(table, self._columns.condition, row, place)
            fields: dict[str, Any] = {"label": checked(cell, self._classes, place.removeprefix("in "))}
        else:
            fields = {"caption": self._captions(table, row, place)}
        cell = value(table, self._columns.image, row, place)
        return Example(read_cell_image(cell, self._root, piece.path, place), **fields)

    def __getitems__(self, indices: Sequence[int]) -> list[Example]:
        """Read several rows, in the order of `indices`. Each piece of a table is read only once."""
        found = {index: self[index] for index in sorted(set(indices))}
        return [found[index] for index in indices]

    def caption(self, index: int) -> Captions:
        """Read only the captions of a row. Raises CorruptSampleError if a caption is missing or damaged."""
        piece, row, place = self._locate(index)
        return self._captions(read_piece(piece, self._columns.conditions), row, place)

    def files(self) -> list[Path]:
        """Return the tables in order, then the existing image files that they refer to."""
        return [*self._files, *sorted(self._images())]

    def _images(self) -> set[Path]:
        """Return the image files that the tables refer to.

        Missing ones are left out: their rows are corrupt examples.
        """
        found: set[Path] = set()
        column = self._columns.image
        for piece in self._pieces:
            if without_nulls(piece, f"{column}.bytes"):
                continue  # no paths; reading the column would read all images
            for path in paths_without_bytes(read_piece(piece, (column,)).column(column)):
                with suppress(CorruptSampleError):
                    found.add(image_file(path, self._root, piece.path, ""))
        return found

    def _locate(self, index: int) -> tuple[Piece, int, str]:
        """Return the piece of a row, its number in the piece, and its description for error messages."""
        number = bisect_right(self._starts, index) - 1
        piece, row = self._pieces[number], index - self._starts[number]
        return piece, row, f"in row {piece.first + row} of {piece.path}"

    def _captions(self, table: pyarrow.Table, row: int, place: str) -> Captions:
        if not self._probabilities:
            return captions_of(value(table, self._columns.condition, row, place), place)

        def read(key: str) -> Captions:
            column, number = self._columns.captions[key]
            return nth(captions_of(value(table, column, row, place), place), number, place)

        return mixed(self._probabilities, read, place)
