"""The drawings as one tensor, made once per process and size."""

from functools import lru_cache

import numpy
import torch
from PIL import Image
from torch import Tensor

from nanogen_openmoji.drawings import classes, draw

MARGIN = 1  # transparent pixels around a sprite, so that bilinear sampling at its border fades out


@lru_cache(maxsize=8)
def sprites(size: int) -> Tensor:
    """The 64 class drawings, [64, 4, size, size] in [0, 1]: red, green and blue multiplied by alpha, then alpha."""
    return torch.stack([sprite(drawing.emoji, size) for drawing in classes()])  # [64, 4, size, size]


def sprite(emoji: str, size: int) -> Tensor:
    """One drawing of any emoji, [4, size, size], as in `sprites`."""
    inner = draw(emoji, size - 2 * MARGIN)
    image = Image.new("RGBA", (size, size))
    image.paste(inner, (MARGIN, MARGIN))
    pixels = torch.from_numpy(numpy.array(image)).permute(2, 0, 1) / 255  # [4, size, size]
    return torch.cat([pixels[:3] * pixels[3:], pixels[3:]])
