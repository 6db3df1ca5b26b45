"""How near decoded images are to their originals."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from nanogen_core.errors import DataError
from nanogen_core.protocols import Tokenizer
from nanogen_core.tensors import Batch


def psnr(decoded: Tensor, images: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each image [B, 3, H, W] in [-1, 1], in dB, [B]; higher is better."""
    errors = (decoded.clamp(-1, 1) - images).square().mean(dim=(1, 2, 3))
    return 10 * torch.log10(4 / errors.clamp_min(1e-10))


@torch.no_grad()
def reconstruction(tokenizer: Tokenizer, batches: Iterable[Batch]) -> dict[str, float]:
    """`psnr` (dB, mean over images), `l1` (in [0, 2]) and `images` of a round trip. Raises DataError for no images."""
    ratios, distances = [], []
    for batch in batches:
        if batch.images is not None:
            decoded = tokenizer.decode(tokenizer.encode(batch.images)).clamp(-1, 1)
            ratios.append(psnr(decoded, batch.images))
            distances.append((decoded - batch.images).abs().mean(dim=(1, 2, 3)))
    if not ratios:
        raise DataError("There were no images to reconstruct.")
    count = sum(map(len, ratios))
    return {"psnr": float(torch.cat(ratios).mean()), "l1": float(torch.cat(distances).mean()), "images": count}
