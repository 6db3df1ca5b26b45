"""The judge of the caption task: finds the objects of a scene, with their names, colours and places.

After CenterNet (Zhou et al. 2019, "Objects as points") on an 8 x 8 grid: each cell says how much of an object's centre
lies in it, which object that is and which colour it has.
"""

from pathlib import Path
from typing import NamedTuple

import attrs
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nanogen_openmoji import shipped
from nanogen_openmoji.classifier import resized
from nanogen_openmoji.colours import COLOURS
from nanogen_openmoji.drawings import class_names
from nanogen_openmoji.layers import Block, Conv, Down, PixelNorm

GRID = 8
PAINTS = (None, *COLOURS)  # None: as OpenMoji drew it
OUTPUTS = (1, 64, len(PAINTS))  # centre, name, paint


class Cells(NamedTuple):
    """What each cell says, [B, ..., 8, 8]."""

    centre: Tensor  # [B, 8, 8] logits
    name: Tensor  # [B, 64, 8, 8] logits
    paint: Tensor  # [B, 6, 8, 8] logits, in the order of PAINTS


@attrs.frozen(kw_only=True)
class Detection:
    """One object: centre as shares of the image, y down; `colour` None is the drawing's own; `score` in [0, 1]."""

    name: str
    colour: str | None
    x: float
    y: float
    score: float


class SceneReader(nn.Module):
    """Images of any size, resized to 64 px; knows all 64 drawings in the 5 colours and their own."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            Down(3, 64, by=4, kernel=3), Block(64), Down(64, 80), Block(80), Block(80), Block(80),
            PixelNorm(80), Conv(80, sum(OUTPUTS), 1),
        )  # fmt: skip

    @classmethod
    def load(cls, folder: Path = shipped.FOLDER) -> "SceneReader":
        """The shipped network, frozen, in evaluation mode."""
        return shipped.load(cls(), "scene_reader", folder)

    def forward(self, images: Tensor) -> Cells:
        """Images [B, 3, S, S] in [-1, 1] to what the cells say."""
        centre, name, paint = self.body(resized(images)).float().split(OUTPUTS, dim=1)
        return Cells(centre[:, 0], name, paint)

    @torch.no_grad()
    def read(self, images: Tensor) -> list[list[Detection]]:
        """Images [B, 3, S, S] in [-1, 1] to the objects found in each, the surest first."""
        cells = self(images)
        mass = F.pad(cells.centre.sigmoid(), (1, 1, 1, 1))  # [B, 10, 10]
        around = F.avg_pool2d(mass, 3, stride=1) * 9  # [B, 8, 8]: a centre whole, though cells shared it
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
        colour=PAINTS[int(cells.paint[image, :, row, column].argmax())],
        x=(column + 0.5 + float((near.sum(dim=0) * offset).sum())) / GRID,
        y=(row + 0.5 + float((near.sum(dim=1) * offset).sum())) / GRID,
        score=min(float(around[image, row, column]), 1.0),
    )
