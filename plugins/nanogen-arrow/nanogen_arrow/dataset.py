"""The dataset `arrow`: splits, class names, and the rows of all files by one number."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Sequence
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any

from nanogen_arrow.columns import Columns, class_names, columns_of
from nanogen_arrow.config import ArrowConfig
from nanogen_arrow.pieces import Piece, pieces_of, read_piece, schema_of
from nanogen_core.captions import decode_caption
from nanogen_core.damage import BadExample
from nanogen_core.data import Example, data_folder
from nanogen_core.errors import DataError, listing
from nanogen_core.pictures import decode_image

SPLITS = {"train": ("train",), "val": ("validation", "val")}
STATE, DICTIONARY = "state.json", "dataset_dict.json"


class Arrow:
    """Reads what `datasets.save_to_disk` wrote, or the parquet files of the hub, without the library itself."""

    def __init__(self, config: ArrowConfig):
        self._config = config

    @cached_property
    def root(self) -> Path:
        """The folder of the dataset. Raises DataError where it is missing."""
        return data_folder(self._config.root, "arrow")

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The names in the features of the label column, or the lines of `classes.txt` in the root; else none."""
        first = self._files("train")[0]
        schema = schema_of(first)
        names = class_names(schema, columns_of(schema, self._config, first).label)
        file = self.root / "classes.txt"
        if names or not file.is_file():
            return names
        return tuple(line.strip() for line in file.read_text("utf-8").splitlines() if line.strip())

    def open(self, split: str, image_size: int, view: str) -> Rows:
        """One split, `train` or `val`, as `"labels"` or `"captions"`. Raises DataError where it is not there, or has no
        column for the view."""
        files = self._files(split)
        columns = columns_of(schema_of(files[0]), self._config, files[0])
        wanted = "label" if view == "labels" else "caption"
        if getattr(columns, wanted) is None:
            raise DataError(
                f"{files[0]} has no column of {view} that is known, only: {listing(schema_of(files[0]).names)}. Set "
                f"`dataset.{wanted}` to one of them."
            )
        if view == "labels" and not self.classes:
            raise DataError(
                f"The labels in {self.root} have no names: write {self.root / 'classes.txt'} with one name a line, in "
                f"label order."
            )
        return Rows(files, columns, view, self._config.bad_examples)

    @staticmethod
    def recognises(source: str) -> bool:
        """Whether `root` may be this: a folder that `save_to_disk` wrote, or one of parquet files with captions."""
        folder = Path(source).expanduser()
        if (folder / DICTIONARY).is_file() or (folder / STATE).is_file():
            return True
        files = _parquet(folder, SPLITS["train"])
        return bool(files) and columns_of(schema_of(files[0]), ArrowConfig(), files[0]).caption is not None

    def _files(self, split: str) -> list[Path]:
        names = SPLITS.get(split, (split,))
        folders = [self.root / name for name in names if (self.root / name / STATE).is_file()]
        if (self.root / STATE).is_file() and split == "train":
            folders = [self.root]
        files = _saved(folders[0]) if folders else _parquet(self.root, names)
        if not files:
            raise DataError(
                f"There is no split {split!r} in {self.root} ({listing(path.name for path in self.root.iterdir())}): "
                f"it needs a folder {' or '.join(names)} that `save_to_disk` wrote, or files {names[0]}-*.parquet."
            )
        return files


class Rows:
    """The rows of all files in order, as examples of one view."""

    def __init__(self, files: Sequence[Path], columns: Columns, view: str, bad_examples: float):
        self.bad_examples = bad_examples
        self._files, self._columns, self._labels = list(files), columns, view == "labels"
        found = [pair for file in files for pair in pieces_of(file)]
        self._pieces = [piece for piece, _ in found]
        self._starts = list(accumulate((rows for _, rows in found), initial=0))

    def __len__(self) -> int:
        return self._starts[-1]

    def __getitem__(self, index: int) -> Example:
        """An RGB image in its own size, and its label or caption. Raises BadExample, naming the row."""
        piece, row = self._place(index)
        name = f"in row {row} of {piece.path.name}, part {piece.number}"
        condition = self._label(piece, row, name) if self._labels else self._caption(piece, row, name)
        image = _value(piece, self._columns.image, row)
        data = image.get("bytes") if isinstance(image, dict) else image
        return Example(decode_image(data or b"", name), **condition)

    def caption(self, index: int) -> str:
        """The caption alone. Raises BadExample."""
        piece, row = self._place(index)
        return self._caption(piece, row, f"in row {row} of {piece.path.name}")["caption"]

    def files(self) -> list[Path]:
        """The files, in order."""
        return self._files

    def _place(self, index: int) -> tuple[Piece, int]:
        place = bisect_right(self._starts, index) - 1
        return self._pieces[place], index - self._starts[place]

    def _label(self, piece: Piece, row: int, name: str) -> dict[str, int]:
        label = _value(piece, self._columns.label, row)
        if label is None or label < 0:
            raise BadExample("no label", f"The image {name} has no label: give it one or take it away.")
        return {"label": label}

    def _caption(self, piece: Piece, row: int, name: str) -> dict[str, str]:
        text = _value(piece, self._columns.caption, row)
        if text is None:
            raise BadExample("no caption", f"The image {name} has no caption.")
        return {"caption": decode_caption(text if isinstance(text, bytes) else str(text).encode(), name)}


def _value(piece: Piece, column: str | None, row: int) -> Any:
    try:
        return read_piece(piece).column(column)[row].as_py()
    except UnicodeDecodeError as error:
        raise BadExample("caption no UTF-8", f"Row {row} of {piece.path} is not UTF-8 ({error}).") from error


def _saved(folder: Path) -> list[Path]:
    """The files of a split in the order of its state. Raises DataError where one is missing."""
    files = [folder / entry["filename"] for entry in json.loads((folder / STATE).read_text("utf-8"))["_data_files"]]
    missing = [file for file in files if file.parent != folder or not file.is_file()]
    if missing:
        raise DataError(f"There is no file {missing[0]} beside {folder / STATE}, which names it: save it again.")
    return files


def _parquet(root: Path, names: Sequence[str]) -> list[Path]:
    folders = (root / "data", root)
    found = [sorted(folder.glob(f"{name}-*.parquet")) for folder in folders for name in names]
    return next((files for files in found if files), [])
