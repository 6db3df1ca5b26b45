"""Reconstruction quality of a tokenizer."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from nanogen_core.errors import DataError
from nanogen_core.protocols import Tokenizer
from nanogen_core.tensors import Batch


def psnr(decoded: Tensor, images: Tensor) -> Tensor:
    """Return the peak signal-to-noise ratio in dB of each image [B].

    Args:
        decoded: Reconstructions [B, 3, H, W]. Values outside [-1, 1] are clamped.
        images: Originals [B, 3, H, W] in [-1, 1].
    """
    errors = (decoded.clamp(-1, 1) - images).square().mean(dim=(1, 2, 3))
    return 10 * torch.log10(4 / errors.clamp_min(1e-10))


@torch.no_grad()
def reconstruction(tokenizer: Tokenizer, batches: Iterable[Batch]) -> dict[str, float]:
    """Measure the reconstructions of a tokenizer.

    Args:
        batches: Batches with images.

    Returns:
        `psnr` (dB, mean over images), `l1` (mean absolute error in [0, 2]) and `images` (number of images).

    Raises:
        DataError: There are no images.
    """
    ratios, distances = [], []
    for batch in batches:
        if batch.images is not None:
            decoded = tokenizer.decode(tokenizer.encode(batch.images)).clamp(-1, 1)
            ratios.append(psnr(decoded, batch.images))
            distances.append((decoded - batch.images).abs().mean(dim=(1, 2, 3)))
    if not ratios:
        raise DataError("There are no images to reconstruct: the batches are empty or have latents only. Give images.")
    count = sum(map(len, ratios))
    return {"psnr": float(torch.cat(ratios).mean()), "l1": float(torch.cat(distances).mean()), "images": count}
