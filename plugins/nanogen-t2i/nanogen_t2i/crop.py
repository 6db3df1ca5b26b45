"""The published preprocessing of text-to-image data: resize the short side, crop the centre."""

from __future__ import annotations

from attrs import frozen
from PIL import Image
from torch import Tensor

from nanogen_files.images import to_tensor


def resize_and_crop(image: Image.Image, size: int) -> Image.Image:
    """Resize the short side of an image to `size` bicubically, and crop the central `size` x `size` pixels.

    Rounding follows torchvision's Resize and CenterCrop: the long side is rounded down, and offsets are rounded to the
    nearest integer (halves to even).
    """
    short = min(image.size)
    wide, high = size * image.width // short, size * image.height // short
    image = image.resize((wide, high), Image.Resampling.BICUBIC)
    left, top = round((wide - size) / 2), round((high - size) / 2)
    return image.crop((left, top, left + size, top + size))


@frozen
class ResizeAndCrop:
    """A deterministic transform for `nanogen_data.loader`: image -> float32 [3, size, size] in [-1, 1]."""

    size: int
    variants = 1

    def __call__(self, image: Image.Image, number: int) -> Tensor:
        return to_tensor(resize_and_crop(image.convert("RGB"), self.size))
