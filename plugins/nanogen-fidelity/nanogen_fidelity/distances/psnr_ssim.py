"""How near an image is to its original: PSNR, and SSIM (Wang et al., 2004), one number for each pair."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from nanogen_core.errors import DataError

FLOOR = 1e-10  # of the mean squared error: equal images have 100 dB
DEVIATION, WINDOW = 1.5, 11  # of the Gaussian, in pixels
LUMINANCE, CONTRAST = 0.01**2, 0.03**2  # SSIM's constants for values in [0, 1]


def unit_range(pixels: Tensor) -> Tensor:
    """Bytes [B, C, H, W] -> [0, 1]."""
    return pixels.double() / 255


def published_unit_range(pixels: Tensor) -> Tensor:
    """The same as the published code has it: bytes of which none exceeds 1 stay as they are, so that a black batch
    and one of ones are 0 dB apart instead of 48."""
    return unit_range(pixels) if pixels.numel() and pixels.max() > 1 else pixels.double()


def psnr(first: Tensor, second: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of pairs [B, C, H, W] in [0, 1], in dB, [B]: at most 100."""
    _check(first, second)
    errors = (first.double() - second.double()).square().mean(dim=(1, 2, 3))
    return -10 * errors.clamp(min=FLOOR).log10()


def ssim(first: Tensor, second: Tensor) -> Tensor:
    """Structural similarity of pairs [B, C, H, W] in [0, 1], [B]: 11 x 11 Gaussian windows, borders reflected, the mean
    over pixels and channels. Raises DataError for images below 6 x 6."""
    _check(first, second)
    reach = WINDOW // 2
    if min(first.shape[-2:]) <= reach:
        raise DataError(f"SSIM needs images of at least {reach + 1} x {reach + 1} pixels, got {list(first.shape)}.")
    x, y = (F.pad(images.double(), [reach] * 4, mode="reflect") for images in (first, second))
    mean_x, mean_y, xx, yy, xy = (_blurred(values) for values in (x, y, x * x, y * y, x * y))
    variance = (xx - mean_x.square()).clamp(min=0) + (yy - mean_y.square()).clamp(min=0)
    luminance = (2 * mean_x * mean_y + LUMINANCE) / (mean_x.square() + mean_y.square() + LUMINANCE)
    structure = (2 * (xy - mean_x * mean_y) + CONTRAST) / (variance + CONTRAST)
    return (luminance * structure).mean(dim=(1, 2, 3))


def _blurred(values: Tensor) -> Tensor:
    """Each channel under the Gaussian window, without borders."""
    places = torch.arange(WINDOW, dtype=values.dtype, device=values.device) - WINDOW // 2
    weights = (-(places / DEVIATION).square() / 2).exp()
    weights = weights / weights.sum()
    flat = values.flatten(0, 1)[:, None]  # [B C, 1, H, W]
    rows = F.conv2d(flat, weights[None, None, :, None])
    return F.conv2d(rows, weights[None, None, None, :]).reshape(*values.shape[:2], *rows.shape[-2:-1], -1)


def _check(first: Tensor, second: Tensor) -> None:
    if first.ndim != 4 or first.shape != second.shape:
        raise DataError(f"Images {list(first.shape)} and {list(second.shape)} are no pairs of equal size.")
