"""The object detector behind `openmoji-scenes`: finds objects with their names, colours and centres.

It follows CenterNet (Zhou et al., 2019, "Objects as points") on an 8 x 8 grid. Each cell predicts the share of an
object's centre that lies in it, and the object's name and colour.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import attrs
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nanogen_openmoji import weights_files
from nanogen_openmoji.classifier import resized
from nanogen_openmoji.colours import COLOURS
from nanogen_openmoji.emojis import class_names
from nanogen_openmoji.layers import Block, Conv, Down, PixelNorm

GRID = 8
COLOUR_CLASSES = (None, *COLOURS)  # None: the natural colour
OUTPUTS = [1, 64, len(COLOUR_CLASSES)]  # channels of centre, name and colour


class Cells(NamedTuple):
    """The predictions of each grid cell, [B, ..., 8, 8]."""

    centre: Tensor  # [B, 8, 8] logits
    name: Tensor  # [B, 64, 8, 8] logits
    colour: Tensor  # [B, 6, 8, 8] logits, in the order of COLOUR_CLASSES


@attrs.frozen(kw_only=True)
class Detection:
    """A detected object."""

    name: str
    colour: str | None  # None: the natural colour
    x: float  # of the centre, as a share of the image
    y: float  # the same, downwards
    score: float  # in [0, 1]


class SceneReader(nn.Module):
    """Detects the 64 emojis, each in five colours and its natural one. Images of any size are resized to 64 px."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            Down(3, 64, by=4, kernel=3), Block(64), Down(64, 80), Block(80), Block(80), Block(80),
            PixelNorm(80), Conv(80, sum(OUTPUTS), 1),
        )  # fmt: skip

    @classmethod
    def load(cls, folder: Path = weights_files.FOLDER) -> SceneReader:
        """Load the shipped weights. Returns the network frozen and in evaluation mode."""
        return weights_files.load(cls(), "scene_reader", folder)

    def forward(self, images: Tensor) -> Cells:
        """Return the predictions of each grid cell for images [B, 3, S, S] in [-1, 1]."""
        centre, name, colour = torch.split(self.body(resized(images)).float(), OUTPUTS, dim=1)
        return Cells(centre[:, 0], name, colour)

    @torch.no_grad()
    def read(self, images: Tensor) -> list[list[Detection]]:
        """Return the objects in each of the images [B, 3, S, S] in [-1, 1], highest score first."""
        cells = self(images)
        mass = F.pad(cells.centre.sigmoid(), (1, 1, 1, 1))  # [B, 10, 10]
        around = F.avg_pool2d(mass, 3, stride=1) * 9  # [B, 8, 8], the whole of a centre that several cells share
        peak = mass[:, 1:-1, 1:-1] == F.max_pool2d(mass, 3, stride=1)  # [B, 8, 8]
        found: list[list[Detection]] = [[] for _ in images]
        for image, row, column in ((peak & (around > 0.5)).nonzero()).tolist():
            found[image].append(_detection(cells, mass, around, image, row, column))
        return [sorted(objects, key=lambda each: -each.score) for objects in found]


def _detection(cells: Cells, mass: Tensor, around: Tensor, image: int, row: int, column: int) -> Detection:
    near = mass[image, row : row + 3, column : column + 3] / around[image, row, column]  # [3, 3], sums to 1
    offset = torch.arange(-1, 2)
    return Detection(
        name=class_names()[int(cells.name[image, :, row, column].argmax())],
        colour=COLOUR_CLASSES[int(cells.colour[image, :, row, column].argmax())],
        x=(column + 0.5 + float((near.sum(dim=0) * offset).sum())) / GRID,
        y=(row + 0.5 + float((near.sum(dim=1) * offset).sum())) / GRID,
        score=min(float(around[image, row, column]), 1.0),
    )
