"""Transforms of training images, determined by applying them to some images."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from nanogen_core.assembly import Assembly

#: Widths and heights. Published ImageNet images were cropped in advance. For images of at least twice the size,
#: NanoGen's crop first halves them by a box filter, as the published preparation does.
SHAPES = {"imagenet": ((256, 256), (300, 300)), "t2i": ((300, 411), (700, 333), (256, 343), (512, 640))}
WORDS = {
    "imagenet": "short side to image_size (bicubic), to [0, 1]",
    "t2i": "short side to image_size (bicubic), centre crop, to [0, 1]",
}


def flips(parts: Assembly) -> bool:
    """Return whether any of 16 draws changes (flips) a training image."""
    transform, image = parts["task"].reading("train").transform, _image((300, 300))
    first = transform(image, 0)
    return any(not torch.equal(transform(image, number), first) for number in range(1, 16))


def described(parts: Assembly) -> str:
    """Return the published description of the transform if all images agree with it, else "another transform"."""
    task, size = parts.resolved.task, parts.resolved.image_size
    transform = parts["task"].reading("train").transform
    same = [torch.equal(transform(_image(shape), 0), _published(_image(shape), size)) for shape in SHAPES[task]]
    return WORDS[task] if all(same) else "another transform"


def _published(image: Image.Image, size: int) -> Tensor:
    """torchvision's Resize(size, BICUBIC) and CenterCrop(size), in [-1, 1] for [0, 1]."""
    short = min(image.size)
    wide, high = (int(size * side / short) for side in image.size)
    left, top = round((wide - size) / 2.0), round((high - size) / 2.0)
    image = image.resize((wide, high), Image.Resampling.BICUBIC).crop((left, top, left + size, top + size))
    return torch.from_numpy(np.array(image, dtype=np.float32)).permute(2, 0, 1) / 127.5 - 1


def _image(shape: tuple[int, int]) -> Image.Image:
    """Smooth noise."""
    pixels = np.random.default_rng(0).integers(0, 256, (9, 8, 3), np.uint8)
    return Image.fromarray(pixels).resize(shape, Image.Resampling.BICUBIC)
