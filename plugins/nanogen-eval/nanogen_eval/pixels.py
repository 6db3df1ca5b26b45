"""Conversion of images to the 8-bit grid on which metrics read them."""

from __future__ import annotations

from torch import Tensor

from nanogen_files.images import to_uint8


def from_uint8(pixels: Tensor) -> Tensor:
    """Convert uint8 [...] to float32 in [-1, 1]. `to_uint8` with the rule "round" is the inverse; "truncate" is not."""
    return pixels.float() / 127.5 - 1


def on_grid(images: Tensor, rounding: str = "round") -> Tensor:
    """Quantize images [..., H, W] in [-1, 1] to the 256 levels of an 8-bit file.

    Args:
        images: Floating-point images in [-1, 1].
        rounding: `"round"` or `"truncate"`, as in `to_uint8`.
    """
    return from_uint8(to_uint8(images, rounding))
