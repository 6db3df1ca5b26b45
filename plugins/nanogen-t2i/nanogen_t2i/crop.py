"""The published preprocessing of text-to-image data: short side resized, then the centre cropped."""

from __future__ import annotations

from attrs import frozen
from PIL import Image
from torch import Tensor

from nanogen_core.images import to_tensor


def resize_and_crop(image: Image.Image, size: int) -> Image.Image:
    """The central `size` x `size` pixels of an image whose short side was brought to `size` by a bicubic filter."""
    scale = size / min(image.size)
    wide, high = max(size, round(image.width * scale)), max(size, round(image.height * scale))
    image = image.resize((wide, high), Image.Resampling.BICUBIC)
    left, top = (wide - size) // 2, (high - size) // 2
    return image.crop((left, top, left + size, top + size))


@frozen
class ResizeAndCrop:
    """A transform of `nanogen_core.data`: image -> float32 [3, size, size] in [-1, 1]. Nothing in it is random."""

    size: int
    variants = 1

    def __call__(self, image: Image.Image, number: int) -> Tensor:
        return to_tensor(resize_and_crop(image.convert("RGB"), self.size))
