"""Recolours emojis. Black lines stay black, and fills become shades of a colour."""

from __future__ import annotations

import torch
from torch import Tensor

COLOURS = {  # red, green, blue in [0, 1]
    "red": (0.90, 0.16, 0.16),
    "green": (0.20, 0.66, 0.26),
    "blue": (0.13, 0.42, 0.92),
    "yellow": (0.98, 0.84, 0.12),
    "purple": (0.58, 0.20, 0.74),
}
NATURAL = {  # classes whose emoji has one of these colours -> the colour
    "apple": "red", "strawberry": "red", "heart": "red", "crab": "red", "octopus": "red", "cherries": "red",
    "rose": "red", "ladybug": "red", "car": "red", "broccoli": "green", "cactus": "green", "tree": "green",
    "frog": "green", "avocado": "green", "turtle": "green", "whale": "blue", "butterfly": "blue", "banana": "yellow",
    "star": "yellow", "sun": "yellow", "moon": "yellow", "grapes": "purple", "eggplant": "purple", "umbrella": "purple",
}  # fmt: skip
LUMINANCE = torch.tensor((0.299, 0.587, 0.114))  # ITU-R BT.601
LINE = 0.25  # luminance below which a pixel belongs to a line


def tint(sprite: Tensor, colour: str) -> Tensor:
    """Recolour a sprite [4, R, R], premultiplied by alpha.

    A fill with the mean luminance of all fills gets the colour. Darker fills stay darker; lighter fills become paler.

    Raises:
        KeyError: The colour is not in `COLOURS`.
    """
    alpha = sprite[3]  # [R, R]
    light = torch.einsum("c,chw->hw", LUMINANCE, sprite[:3]) / alpha.clamp_min(1e-3)  # [R, R]
    fill = light[(light > LINE) & (alpha > 0.5)].mean()  # []
    shade = light / fill  # 1 at the mean fill
    target = torch.tensor(COLOURS[colour])[:, None, None]
    tinted = target * shade.clamp(max=1) + (1 - target) * (0.6 * (shade - 1)).clamp(0, 0.45)  # [3, R, R]
    return torch.cat([tinted * alpha, alpha[None]])
