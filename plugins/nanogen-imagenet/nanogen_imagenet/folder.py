"""The class-folder layout: `train/CLASS/*.JPEG` and `val/CLASS/*.JPEG`, with WordNet ids or any names as CLASS."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Sequence
from functools import cached_property
from itertools import accumulate
from pathlib import Path

from nanogen_core.data import Example, data_folder
from nanogen_core.errors import DataError, listing, near_miss
from nanogen_core.pictures import read_image
from nanogen_imagenet.config import FolderConfig
from nanogen_imagenet.names import folder_names

SUFFIXES = (".jpeg", ".jpg", ".png", ".webp", ".bmp")


class ImageNetFolder:
    """Classes are the folders of `train` in alphabetical order, named by `LOC_synset_mapping.txt` or `classes.txt`."""

    def __init__(self, config: FolderConfig):
        self._config = config

    @cached_property
    def root(self) -> Path:
        """The folder with the splits. Raises DataError where it is missing."""
        return data_folder(self._config.root, "imagenet")

    @cached_property
    def _folders(self) -> tuple[str, ...]:
        return class_folders(self._split("train"))

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, in label order."""
        return folder_names(self.root, self._folders)

    def open(self, split: str, image_size: int, view: str) -> FolderExamples:
        """One split, `train` or `val`; images come in their own size. Raises DataError for a layout that is not so."""
        folder = self._split(split)
        unknown = sorted(set(class_folders(folder)) - set(self._folders))
        if unknown:
            raise DataError(
                f"{folder} has a class folder {unknown[0]!r} that `train` lacks.{near_miss(unknown[0], self._folders)} "
                f"Both need the same classes."
            )
        return FolderExamples(folder, self._folders, self._config.bad_examples)

    @staticmethod
    def recognises(source: str) -> bool:
        """Whether `root` may be this: a folder whose `train` holds folders with images."""
        train = Path(source).expanduser() / "train"
        folders = [entry.path for entry in os.scandir(train) if entry.is_dir()] if train.is_dir() else []
        return any(_is_image(entry.name) for folder in folders for entry in os.scandir(folder))

    def _split(self, split: str) -> Path:
        folder = self.root / split
        if not folder.is_dir():
            there = listing(entry.name for entry in self.root.iterdir() if entry.is_dir())
            raise DataError(
                f"There is no folder {split!r} in {self.root}, only: {there}. Put one folder of images for each class "
                f"into {folder}, or set `dataset.root`."
            )
        return folder


def class_folders(split: Path) -> tuple[str, ...]:
    """The class folders of a split, sorted. Raises DataError for a flat split, as ImageNet's validation set comes."""
    entries = sorted(os.scandir(split), key=lambda entry: entry.name)
    folders = tuple(entry.name for entry in entries if entry.is_dir())
    if folders:
        return folders
    images = sum(_is_image(entry.name) for entry in entries)
    raise DataError(
        f"{split} holds {images} images and no class folders: move each image into the folder of its class, such as "
        f"{split.name}/n01440764 (ImageNet's validation archive is flat; LOC_val_solution.csv names the classes)."
    )


class FolderExamples:
    """The images of one split, class by class and sorted, read from disk one by one."""

    def __init__(self, folder: Path, classes: Sequence[str], bad_examples: float):
        self.bad_examples = bad_examples
        self._folder = folder
        self._classes = tuple(classes)
        files = [_images(folder / name) for name in classes]
        self._files = [file for names in files for file in names]
        self._starts = list(accumulate((len(names) for names in files), initial=0))[:-1]

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> Example:
        """An RGB image in its own size, and its label. Raises BadExample, naming the file, where it cannot be read."""
        label = self._label(index)
        return Example(read_image(self._path(index, label)), label=label)

    def files(self) -> list[Path]:
        """The image files, in order."""
        return [self._path(index, self._label(index)) for index in range(len(self))]

    def _label(self, index: int) -> int:
        return bisect_right(self._starts, index) - 1

    def _path(self, index: int, label: int) -> Path:
        return self._folder / self._classes[label] / self._files[index]


def _images(folder: Path) -> list[str]:
    """The image files of a class, sorted; a class that one split lacks has none there."""
    return sorted(entry.name for entry in os.scandir(folder) if _is_image(entry.name)) if folder.is_dir() else []


def _is_image(name: str) -> bool:
    return name.lower().endswith(SUFFIXES) and not name.startswith(".")
