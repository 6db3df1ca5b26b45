"""Selection and cropping of the images that a perceptual loss compares."""

from __future__ import annotations

from torch import Tensor

from nanogen_core.randomness import KeyedRNG
from nanogen_pixel.crops import cropped, random_crops


def compared_images(
    denoised: Tensor, image: Tensor, rows: Tensor, crop: int | None, rng: KeyedRNG
) -> tuple[Tensor, Tensor]:
    """Return the predicted and the real images to compare: [A, 3, H, W] each, or [A, 3, crop, crop].

    Args:
        denoised: Predicted images [B, 3, H, W].
        image: Real images [B, 3, H, W].
        rows: Indices [A] of the samples.
        crop: Take the same random crop of both, resized to this side. None: whole images.
        rng: Random numbers, one slot per sample of the batch.
    """
    denoised, image = denoised[rows], image[rows]
    if crop is None:
        return denoised, image
    crops = random_crops(rng, *image.shape[-2:])
    chosen = crops.rows(rows.to(crops.top.device))
    return cropped(denoised, chosen, crop), cropped(image, chosen, crop)
