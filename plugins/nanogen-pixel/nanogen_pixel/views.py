"""Crops of the images that a perceptual loss compares."""

from __future__ import annotations

from torch import Tensor

from nanogen_core.randomness import KeyedRNG
from nanogen_pixel.crops import cropped, random_crops


def compared_images(denoised: Tensor, image: Tensor, crop: int | None, rng: KeyedRNG) -> tuple[Tensor, Tensor]:
    """Return the predicted and the real images to compare: [B, 3, H, W] each, or [B, 3, crop, crop].

    Args:
        denoised: Predicted images [B, 3, H, W].
        image: Real images [B, 3, H, W].
        crop: Take the same random crop of both, resized to this side. None: whole images.
        rng: Random numbers, one slot per sample of the batch.
    """
    if crop is None:
        return denoised, image
    crops = random_crops(rng, *image.shape[-2:])
    return cropped(denoised, crops, crop), cropped(image, crops, crop)
