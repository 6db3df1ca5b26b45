"""The resizing in front of the FID network: TensorFlow 1's bilinear one, whose centres are off by half a pixel."""

from __future__ import annotations

import torch
from torch import Tensor


def tf1_bilinear(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Images [B, C, H, W] float -> [B, C, *size]: pixel d looks at d * in / out, without antialiasing."""
    rows = _along(images.transpose(-1, -2), size[0]).transpose(-1, -2)
    return _along(rows, size[1])


def _along(values: Tensor, size: int) -> Tensor:
    """The last axis at another size."""
    length = values.shape[-1]
    places = torch.arange(size, dtype=torch.float32, device=values.device) * (length / size)
    low = places.floor().long().clamp(max=length - 1)
    high = (low + 1).clamp(max=length - 1)
    share = (places - low).to(values.dtype)
    return values[..., low] + (values[..., high] - values[..., low]) * share
