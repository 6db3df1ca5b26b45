"""Emojis as tensors, cached by size."""

from __future__ import annotations

from functools import lru_cache

import numpy
import torch
from PIL import Image
from torch import Tensor

from nanogen_openmoji.emojis import classes, render_emoji

MARGIN = 1  # transparent pixels around a sprite, so that bilinear sampling fades out at its border


@lru_cache(maxsize=8)
def sprites(size: int) -> Tensor:
    """Return the 64 classes as RGBA [64, 4, size, size] in [0, 1], premultiplied by alpha."""
    return torch.stack([sprite(one.emoji, size) for one in classes()])


def sprite(emoji: str, size: int) -> Tensor:
    """Render an emoji as RGBA [4, size, size], float32 in [0, 1], premultiplied by alpha, with a 1-pixel margin.

    Raises ValueError if OpenMoji has no image of it.
    """
    inner = render_emoji(emoji, size - 2 * MARGIN)
    image = Image.new("RGBA", (size, size))
    image.paste(inner, (MARGIN, MARGIN))
    pixels = torch.from_numpy(numpy.array(image)).permute(2, 0, 1) / 255  # [4, size, size]
    return torch.cat([pixels[:3] * pixels[3:], pixels[3:]])
