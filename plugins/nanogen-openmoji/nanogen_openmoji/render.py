"""Renders scenes to images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from nanogen_openmoji.colours import tint
from nanogen_openmoji.compositing import Placement, over, place_sprites
from nanogen_openmoji.emojis import emoji_by_name
from nanogen_openmoji.scenes import Scene, SceneObject
from nanogen_openmoji.sprites import sprite

SHARE = 0.75  # resolution of the sprites relative to the image: fits large objects, and small ones after halving


def render(scenes: Sequence[Scene], size: int = 64) -> Tensor:
    """Render scenes as [B, 3, size, size] float32 in [-1, 1]. The image of a scene is bit-identical in any batch."""
    canvas = torch.tensor([scene.background for scene in scenes])[:, :, None, None].repeat(1, 1, size, size)
    for k in range(max(len(scene.objects) for scene in scenes)):
        rows = [row for row, scene in enumerate(scenes) if len(scene.objects) > k]
        layer = _layer([scenes[row].objects[k] for row in rows], size)  # [len(rows), 4, size, size]
        canvas[rows] = over(layer, canvas[rows])
    return canvas * 2 - 1


def _layer(objects: list[SceneObject], size: int) -> Tensor:
    sprites = torch.stack([_sprite(item.name, item.colour, round(SHARE * size)) for item in objects])
    x, y, side, degrees = torch.tensor([(o.x, o.y, o.size, o.degrees) for o in objects]).T.contiguous()
    placement = Placement(x=x, y=y, size=side, angle=degrees * (math.pi / 180), flip=torch.ones_like(x))
    return place_sprites(sprites, placement, size)


@lru_cache(maxsize=1024)
def _sprite(name: str, colour: str | None, size: int) -> Tensor:
    plain = sprite(emoji_by_name()[name], size)
    return tint(plain, colour) if colour else plain
