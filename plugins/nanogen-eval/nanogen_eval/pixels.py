"""Images as metrics see them: float32 in [-1, 1], on the 8-bit grid that any image file has."""

from __future__ import annotations

from torch import Tensor

from nanogen_files.images import to_uint8


def from_uint8(pixels: Tensor) -> Tensor:
    """Bytes [...] -> float32 in [-1, 1]; `images.to_uint8` gives the same bytes back."""
    return pixels.float() / 127.5 - 1


def on_grid(images: Tensor, rounding: str = "round") -> Tensor:
    """Images [..., H, W] in [-1, 1] -> the values that are left of them in an image file."""
    return from_uint8(to_uint8(images, rounding))
