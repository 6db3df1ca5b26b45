"""ADM's centre crop, and an optional horizontal flip."""

from __future__ import annotations

from attrs import frozen
from PIL import Image
from torch import Tensor

from nanogen_files.images import to_tensor


def centre_crop(image: Image.Image, size: int) -> Image.Image:
    """Resize the short side of an image to `size`, and crop the central `size` x `size` pixels.

    The image is halved by a box filter while its short side is at least 2 `size`, and then resized bicubically. This is
    the preprocessing of ADM (Dhariwal and Nichol, arXiv 2105.05233) and of published ImageNet scores.
    """
    while min(image.size) >= 2 * size:
        image = image.resize((image.width // 2, image.height // 2), Image.Resampling.BOX)
    scale = size / min(image.size)
    image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC)
    left, top = (image.width - size) // 2, (image.height - size) // 2
    return image.crop((left, top, left + size, top + size))


@frozen
class CropAndFlip:
    """A transform for `nanogen_data.loader`: image -> float32 [3, size, size] in [-1, 1].

    With `flip`, the image is mirrored left to right if `number`, the second argument, is odd.
    """

    size: int
    flip: bool

    @property
    def variants(self) -> int:
        """The number of variants of an image: 2 with `flip`, else 1."""
        return 2 if self.flip else 1

    def __call__(self, image: Image.Image, number: int) -> Tensor:
        pixels = to_tensor(centre_crop(image.convert("RGB"), self.size))  # [3, size, size]
        return pixels.flip(-1) if self.flip and number & 1 else pixels
