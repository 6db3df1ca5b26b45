"""The dataset `imagenet-folder`: images in `train/CLASS` and `val/CLASS`, where CLASS is a WordNet id or any name."""

from __future__ import annotations

import logging
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import accumulate
from pathlib import Path

from nanogen_core.errors import DataError, listing, near_miss
from nanogen_data.loader import Example, data_folder
from nanogen_data.mixture import RootsDataset
from nanogen_data.notes import warn_once
from nanogen_data.pictures import is_hidden, read_image
from nanogen_files.errors import counted
from nanogen_files.reading import entries, is_folder, user_path
from nanogen_imagenet import scan
from nanogen_imagenet.config import FolderConfig
from nanogen_imagenet.names import folder_names

log = logging.getLogger(__name__)


class ImageNetFolder(RootsDataset[FolderConfig]):
    """Images in class folders.

    The classes are the folders in `train` that contain images, in alphabetical order. Their names come from
    `LOC_synset_mapping.txt` or `classes.txt`. Without such a file they are the folder names.
    """

    def __init__(self, config: FolderConfig):
        super().__init__(config)
        self._found: dict[str, scan.Found] = {}

    @cached_property
    def root(self) -> Path:
        """The folder with the splits. Raises DataError if it is missing."""
        return data_folder(self._config.root, "imagenet")

    @cached_property
    def _folders(self) -> tuple[str, ...]:
        return tuple(self._scanned("train").files)

    def _classes(self) -> tuple[str, ...]:
        return folder_names(self.root, self._folders)

    def _open(self, split: str, view: str) -> FolderExamples:
        """Open a split of the root.

        Raises DataError if the folder is missing, has no class, or has a class that `train` lacks.
        """
        found = self._scanned(split)
        folder = self.root / split
        unknown = sorted(set(found.files) - set(self._folders))
        if unknown:
            raise DataError(
                f"{folder} has a class folder {unknown[0]!r} that `train` lacks.{near_miss(unknown[0], self._folders)} "
                f"Use the same classes in both."
            )
        warn_once(log, found.left.summary(folder))
        return FolderExamples(folder, self._folders, found.files, self._config.max_corrupt)

    @staticmethod
    def recognises(source: str) -> bool:
        """Return whether the folder `train` of `source` contains folders with images."""
        train = user_path(source) / "train"
        folders = [Path(entry.path) for entry in entries(train) if entry.is_dir()] if is_folder(train) else []
        return any(scan.has_images(folder) for folder in folders if not is_hidden(folder.name))

    def _scanned(self, split: str) -> scan.Found:
        """Return the files of a split, scanned once. Raises DataError for a split without classes."""
        if split not in self._found:
            folder = self._split(split)
            found = scan.scan(folder)
            if not found.files:
                raise DataError(_no_classes(folder, found))
            self._found[split] = found
        return self._found[split]

    def _split(self, split: str) -> Path:
        folder = self.root / split
        if not is_folder(folder):
            there = listing(entry.name for entry in entries(self.root) if entry.is_dir())
            raise DataError(
                f"There is no folder {split!r} in {self.root.absolute()}. It has: {there}. Create {folder} with a"
                f" folder of images for each class, or set `dataset.root`."
            )
        return folder


def _no_classes(folder: Path, found: scan.Found) -> str:
    """Return the error message for a split without images in class folders."""
    images, empty = len(found.names(scan.LOOSE)), len(found.names(scan.EMPTY))
    if images:
        return (
            f"{folder} has {counted(images, 'image')}, but no class folder with images. Move each image into the folder"
            f" of its class, such as {folder.name}/n01440764. (ImageNet's validation archive is flat;"
            " LOC_val_solution.csv has the classes.)"
        )
    if not empty:
        return (
            f"{folder} has no images and no class folders. Put the images of each class into a folder, such as"
            f" {folder.name}/n01440764, or set `dataset.root`."
        )
    return (
        f"{folder} has {counted(empty, 'folder')}, but no image in any folder. Put the images of each class into its"
        " folder."
    )


class FolderExamples:
    """The images of a split, sorted by class and name, read on access."""

    def __init__(self, folder: Path, classes: Sequence[str], files: Mapping[str, Sequence[str]], max_corrupt: float):
        self.max_corrupt = max_corrupt
        self._folder = folder
        self._classes = tuple(classes)
        listed = [files.get(name, ()) for name in classes]  # `val` may lack a class
        self._files = [file for names in listed for file in names]
        self._starts = list(accumulate((len(names) for names in listed), initial=0))[:-1]

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> Example:
        """Read an RGB image in its original size, and its label. Raises CorruptSampleError for an unreadable file."""
        label = self._label(index)
        return Example(read_image(self._path(index, label)), label=label)

    def files(self) -> list[Path]:
        """Return the image files, in order."""
        return [self._path(index, self._label(index)) for index in range(len(self))]

    def _label(self, index: int) -> int:
        return bisect_right(self._starts, index) - 1

    def _path(self, index: int, label: int) -> Path:
        return self._folder / self._classes[label] / self._files[index]
