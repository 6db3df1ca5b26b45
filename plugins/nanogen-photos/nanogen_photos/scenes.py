"""Scenes: cut-outs placed on photographs, as pure functions of a seed text and a metadata line."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any, TypeVar

import numpy as np
import torch
from attrs import frozen
from PIL import Image
from torch import Tensor

from nanogen_photos.pictures import Pictures, cut_out, photograph
from nanogen_photos.prompts import TAGS, Line

T = TypeVar("T")

CENTRE = ((0.5, 0.5),)
ACROSS = ((0.25, 0.5), (0.75, 0.5))
DOWN = ((0.5, 0.25), (0.5, 0.75))
SLOTS = {
    1: CENTRE,
    2: ACROSS,
    3: ((0.25, 0.25), (0.75, 0.25), (0.5, 0.75)),
    4: ((0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75)),
}
# Several cut-outs never overlap: the distance of two slots, 0.5, exceeds the largest size and twice the jitter.
SIZES = {1: (0.6, 0.9), 2: (0.38, 0.46), 3: (0.36, 0.44), 4: (0.36, 0.44)}  # long side as a share of the image
JITTER = {1: 0.08, 2: 0.015, 3: 0.015, 4: 0.015}  # of a centre, as a share of the image
CROP = (0.6, 1.0)  # side of the square of a photograph, as a share of its short side


@frozen
class Cutout:
    """A placed cut-out. Lengths are shares of the image; x and y are the centre, from the top left."""

    name: str
    stamp: int
    x: float
    y: float
    size: float  # of the longer side
    flip: bool


@frozen
class Scene:
    """A photograph, the square of it that is shown, and the cut-outs on it."""

    line: Line
    cutouts: Sequence[Cutout]
    background: int
    window: tuple[float, float, float]  # left and top in [0, 1] of the free space; side as a share of the short side


def compose(line: Line, seed: str, pictures: Pictures) -> Scene:
    """Compose a scene that a metadata line describes.

    Args:
        line: A line of `nanogen_photos.prompts`.
        seed: Seeds everything that the line leaves open.
        pictures: The cut-outs and photographs to choose from.
    """
    rng = Random(f"photos {seed}")
    names = [item["class"] for item in line["include"] for _ in range(item["count"])]
    cutouts = [_cutout(rng, name, at, len(names), pictures) for name, at in zip(names, _slots(rng, line), strict=True)]
    background = int(rng.random() * len(pictures.backgrounds))
    return Scene(line, cutouts, background, (rng.random(), rng.random(), _between(rng, *CROP)))


def random_line(seed: str, lines: dict[str, list[Line]]) -> Line:
    """Choose a tag, then a line of that tag, both uniformly."""
    rng = Random(f"photos line {seed}")
    return _pick(rng, lines[_pick(rng, list(TAGS))])


def render(scene: Scene, size: int, pictures: Pictures) -> Tensor:
    """Render a scene: [3, size, size] float32 in [-1, 1]."""
    image = _behind(photograph(pictures.backgrounds[scene.background]), scene.window, size)
    for one in scene.cutouts:
        stamp = cut_out(pictures.stamps[one.name][one.stamp])
        if one.flip:
            stamp = stamp.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        width, height = _extent(stamp, one.size, size)
        stamp = stamp.resize((width, height), Image.Resampling.BICUBIC)  # Pillow multiplies by alpha
        image.paste(stamp, (round(one.x * size - width / 2), round(one.y * size - height / 2)), stamp)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1) / 127.5 - 1


def boxes(scene: Scene, pictures: Pictures) -> list[tuple[float, float, float, float]]:
    """Return the box x1, y1, x2, y2 of each cut-out, as shares of the image."""
    found = []
    for one in scene.cutouts:
        width, height = _relative(cut_out(pictures.stamps[one.name][one.stamp]), one.size)
        found.append((one.x - width / 2, one.y - height / 2, one.x + width / 2, one.y + height / 2))
    return found


def _slots(rng: Random, line: Line) -> list[tuple[float, float]]:
    """Return the centre of each object, before jitter."""
    items: Sequence[Any] = line["include"]
    position = items[-1].get("position", [None])[0]
    if position is None:
        slots = list(SLOTS[sum(item["count"] for item in items)])
        return slots[::-1] if rng.random() < 0.5 else slots
    target_first = position in ("right of", "below")
    slots = list(DOWN if position in ("above", "below") else ACROSS)
    return slots if target_first else slots[::-1]


def _cutout(rng: Random, name: str, at: tuple[float, float], count: int, pictures: Pictures) -> Cutout:
    stamp = int(rng.random() * len(pictures.stamps[name]))
    size, jitter = _between(rng, *SIZES[count]), JITTER[count]
    sides = _relative(cut_out(pictures.stamps[name][stamp]), size)
    x, y = (_inside(_between(rng, c - jitter, c + jitter), side) for c, side in zip(at, sides, strict=True))
    return Cutout(name, stamp, x, y, size, rng.random() < 0.5 and name != "stop sign")


def _relative(stamp: Image.Image, size: float) -> tuple[float, float]:
    """Return width and height as shares of the image."""
    longer = max(stamp.size)
    return size * stamp.width / longer, size * stamp.height / longer


def _extent(stamp: Image.Image, size: float, side: int) -> tuple[int, int]:
    width, height = _relative(stamp, size)
    return max(1, round(width * side)), max(1, round(height * side))


def _behind(image: Image.Image, window: tuple[float, float, float], size: int) -> Image.Image:
    left, top, share = window
    side = share * min(image.size)
    x, y = left * (image.width - side), top * (image.height - side)
    return image.resize((size, size), Image.Resampling.BICUBIC, box=(x, y, x + side, y + side), reducing_gap=3.0)


def _inside(centre: float, side: float) -> float:
    return min(max(centre, side / 2), 1 - side / 2)


def _between(rng: Random, low: float, high: float) -> float:
    return low + (high - low) * rng.random()


def _pick(rng: Random, options: Sequence[T]) -> T:
    return options[int(rng.random() * len(options))]
