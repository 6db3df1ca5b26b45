"""PSNR, and SSIM (Wang et al., 2004), of pairs of images."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from nanogen_core.errors import DataError

FLOOR = 1e-10  # lower bound of the mean squared error, so equal images have 100 dB
DEVIATION, WINDOW = 1.5, 11  # standard deviation and side of the Gaussian window, in pixels
LUMINANCE, CONTRAST = 0.01**2, 0.03**2  # SSIM's constants for values in [0, 1]


def unit_range(pixels: Tensor) -> Tensor:
    """Convert uint8 images [B, C, H, W] to float64 in [0, 1]."""
    return pixels.double() / 255


def published_unit_range(pixels: Tensor) -> Tensor:
    """Convert images like `unit_range`, but do not scale a batch without values above 1, as in the published code.

    The PSNR between a batch of zeros and a batch of ones is then 0 dB instead of 48 dB.
    """
    return unit_range(pixels) if pixels.numel() and pixels.max() > 1 else pixels.double()


def psnr(first: Tensor, second: Tensor) -> Tensor:
    """Return the peak signal-to-noise ratio [B] in dB, at most 100, of pairs [B, C, H, W] in [0, 1].

    Raises DataError for pairs of different shapes.
    """
    _check(first, second)
    errors = (first.double() - second.double()).square().mean(dim=(1, 2, 3))
    return -10 * errors.clamp(min=FLOOR).log10()


def ssim(first: Tensor, second: Tensor) -> Tensor:
    """Return the structural similarity [B] of pairs [B, C, H, W] in [0, 1].

    Uses 11 x 11 Gaussian windows and reflected borders, and averages over pixels and channels. Raises DataError for
    images below 6 x 6 pixels, or pairs of different shapes.
    """
    _check(first, second)
    reach = WINDOW // 2
    if min(first.shape[-2:]) <= reach:
        raise DataError(
            f"SSIM needs images of at least {reach + 1} x {reach + 1} pixels, got the shape {list(first.shape)}. Use"
            " larger images, or leave the metric out."
        )
    x, y = (F.pad(images.double(), [reach] * 4, mode="reflect") for images in (first, second))
    mean_x, mean_y, xx, yy, xy = (_blurred(values) for values in (x, y, x * x, y * y, x * y))
    variance = (xx - mean_x.square()).clamp(min=0) + (yy - mean_y.square()).clamp(min=0)
    luminance = (2 * mean_x * mean_y + LUMINANCE) / (mean_x.square() + mean_y.square() + LUMINANCE)
    structure = (2 * (xy - mean_x * mean_y) + CONTRAST) / (variance + CONTRAST)
    return (luminance * structure).mean(dim=(1, 2, 3))


def _blurred(values: Tensor) -> Tensor:
    """Convolve each channel with the Gaussian window, without padding."""
    offsets = torch.arange(WINDOW, dtype=values.dtype, device=values.device) - WINDOW // 2
    weights = (-(offsets / DEVIATION).square() / 2).exp()
    weights = weights / weights.sum()
    flat = values.flatten(0, 1)[:, None]  # [B C, 1, H, W]
    rows = F.conv2d(flat, weights[None, None, :, None])
    return F.conv2d(rows, weights[None, None, None, :]).reshape(*values.shape[:2], *rows.shape[-2:-1], -1)


def _check(first: Tensor, second: Tensor) -> None:
    if first.ndim != 4 or first.shape != second.shape:
        raise DataError(
            f"Images of the shapes {list(first.shape)} and {list(second.shape)} cannot be compared. Use pairs"
            " [B, C, H, W] of one size."
        )
