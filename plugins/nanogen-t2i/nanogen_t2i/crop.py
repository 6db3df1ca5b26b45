"""The published preprocessing of text-to-image data: short side resized, then the centre cropped."""

from __future__ import annotations

from attrs import frozen
from PIL import Image
from torch import Tensor

from nanogen_files.images import to_tensor


def resize_and_crop(image: Image.Image, size: int) -> Image.Image:
    """The central `size` x `size` pixels of an image whose short side was brought to `size` by a bicubic filter.

    Sides are rounded as by torchvision's Resize and CenterCrop: the long side down, half a pixel of offset to even.
    """
    short = min(image.size)
    wide, high = size * image.width // short, size * image.height // short
    image = image.resize((wide, high), Image.Resampling.BICUBIC)
    left, top = round((wide - size) / 2), round((high - size) / 2)
    return image.crop((left, top, left + size, top + size))


@frozen
class ResizeAndCrop:
    """A transform of `nanogen_data.loader`: image -> float32 [3, size, size] in [-1, 1]. Nothing in it is random."""

    size: int
    variants = 1

    def __call__(self, image: Image.Image, number: int) -> Tensor:
        return to_tensor(resize_and_crop(image.convert("RGB"), self.size))
