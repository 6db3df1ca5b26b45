"""A generated dataset: one red, green or blue square on grey per image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from attrs import define
from torch import Tensor

from nanogen_core.errors import NanoGenError

COLOURS = {"red": (0.9, -0.8, -0.8), "green": (-0.8, 0.9, -0.8), "blue": (-0.8, -0.8, 0.9)}
SIZES = {"train": 24, "val": 6}


@define
class Square:
    """One example: an image [3, S, S] in [-1, 1], the index of its colour, and a caption."""

    image: Tensor
    label: int | None
    caption: str | None


class TinyDataset:
    """24 training and 6 validation examples with labels and captions."""

    classes: Sequence[str] = tuple(COLOURS)

    def open(self, split: str, image_size: int, view: str) -> Squares:
        """Return a split; `view` is ignored. Raises NanoGenError for an unknown split."""
        if split not in SIZES:
            raise NanoGenError(f"tiny-dataset has no split {split!r}; it has: {', '.join(SIZES)}.")
        return Squares(range(SIZES[split]) if split == "train" else range(100, 100 + SIZES[split]), image_size)


class Squares:
    """A map-style dataset of squares."""

    def __init__(self, numbers: range, image_size: int):
        self.numbers = numbers
        self.image_size = image_size

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: int) -> Square:
        number = self.numbers[index]
        label = number % len(COLOURS)
        name = list(COLOURS)[label]
        return Square(draw_square(self.image_size, number, COLOURS[name]), label, f"a {name} square")


def draw_square(size: int, number: int, colour: Sequence[float]) -> Tensor:
    """Return an image [3, size, size] in [-1, 1] with a square of half its width, at a position set by `number`."""
    image, half = torch.zeros(3, size, size), size // 2
    row, column = (number * 7) % (size - half + 1), (number * 5) % (size - half + 1)
    image[:, row : row + half, column : column + half] = torch.tensor(colour)[:, None, None]
    return image
