"""TensorFlow 1's bilinear resizing without half-pixel centres, the input resizing of FID."""

from __future__ import annotations

import torch
from torch import Tensor


def tf1_bilinear(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize float images [B, C, H, W] to [B, C, *size], without antialiasing.

    Output pixel d samples the input at d * input_size / output_size.
    """
    rows = _along(images.transpose(-1, -2), size[0]).transpose(-1, -2)
    return _along(rows, size[1])


def _along(values: Tensor, size: int) -> Tensor:
    """Resize the last axis."""
    length = values.shape[-1]
    positions = torch.arange(size, dtype=torch.float32, device=values.device) * (length / size)
    low = positions.floor().long().clamp(max=length - 1)
    high = (low + 1).clamp(max=length - 1)
    weight = (positions - low).to(values.dtype)
    return values[..., low] + (values[..., high] - values[..., low]) * weight
