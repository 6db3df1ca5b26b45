"""The dataset `photos`: cut-outs on photographs, as labelled images or as captioned scenes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from hashlib import sha256

from nanogen_core.errors import DataError, listing
from nanogen_data.loader import Example
from nanogen_files.hashing import file_hash
from nanogen_photos.config import PhotosConfig
from nanogen_photos.pictures import Pictures, find_pictures
from nanogen_photos.prompts import Line, all_lines, single, some_lines
from nanogen_photos.scenes import Scene, compose, random_line, render

SPLITS = ("train", "val")
VERSION = 1  # of the composition; raise it if images change for equal options
PROMPTS_PER_TAG = 256  # of `Photos.prompts`


class Photos:
    """Composes images on access, at any size. The same options, split, view, size and index give the same image.

    Cut-outs and photographs are read from where they are installed. This package contains none of them.
    """

    licences = {
        "tuxpaint-stamps-default": "GPL-2",
        "mate-backgrounds": "GPL-2+",
    }
    """The licences of the images, by Debian package."""

    def __init__(self, config: PhotosConfig):
        """Find the files of the cut-outs and photographs. Raises DataError if one is missing."""
        self.config = config
        self.pictures: Pictures = find_pictures(config)
        self.classes: Sequence[str] = self.pictures.classes

    def open(self, split: str, image_size: int, view: str) -> ComposedExamples:
        """Open a split.

        Args:
            split: `"train"` or `"val"`.
            image_size: The side of the images in pixels.
            view: `"labels"` or `"captions"`.

        Raises:
            DataError: There is no such split.
        """
        if split not in SPLITS:
            raise DataError(f"The dataset photos has no split {split!r}. Use one of: {listing(SPLITS)}.")
        length = self.config.train if split == "train" else self.config.val
        return ComposedExamples(
            length, view, size=image_size, seed=f"{self.config.seed} {split}", pictures=self.pictures
        )

    def prompts(self) -> list[str]:
        """Return up to 256 captions of each tag, from all tags in turn. Tags with fewer captions repeat them."""
        by_tag: dict[str, list[str]] = {}
        for line in some_lines(self.classes, PROMPTS_PER_TAG):
            by_tag.setdefault(line["tag"], []).append(line["prompt"])
        longest = max(map(len, by_tag.values()))
        return [family[number % len(family)] for number in range(longest) for family in by_tag.values()]


class ComposedExamples:
    """Examples that are composed on access."""

    def __init__(self, length: int, view: str, *, size: int, seed: str, pictures: Pictures):
        self._length, self._view, self._size, self._seed, self._pictures = length, view, size, seed, pictures

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Example:
        scene = self.scene(index)
        image = render(scene, self._size, self._pictures)
        if self._view == "labels":
            return Example(image, label=index % len(self._pictures.classes))
        return Example(image, caption=scene.line["prompt"])

    def scene(self, index: int) -> Scene:
        """Return the scene that an image shows."""
        seed = f"{self._seed} {index}"
        if self._view == "labels":
            line = single(self._pictures.classes[index % len(self._pictures.classes)])
        else:
            line = random_line(seed, self._lines)
        return compose(line, seed, self._pictures)

    def identity(self) -> str:
        """Return a hash of everything that the images depend on, except their size."""
        facts = {
            "version": VERSION,
            "view": self._view,
            "length": self._length,
            "seed": self._seed,
            "classes": self._pictures.classes,
            "files": [file_hash(file) for file in self._pictures.files()],
        }
        return sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    @cached_property
    def _lines(self) -> dict[str, list[Line]]:
        return all_lines(self._pictures.classes)
