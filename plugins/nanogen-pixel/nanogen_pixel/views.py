"""What a perceptual loss looks at: some rows of the predicted and of the real images, perhaps cropped alike."""

from __future__ import annotations

from torch import Tensor

from nanogen_core.randomness import KeyedRNG
from nanogen_pixel.crops import cropped, random_crops


def view(denoised: Tensor, image: Tensor, rows: Tensor, crop: int | None, rng: KeyedRNG) -> tuple[Tensor, Tensor]:
    """Rows of images [B, 3, H, W]: whole, or the same random crop of both, resized to a side of `crop`."""
    denoised, image = denoised[rows], image[rows]
    if crop is None:
        return denoised, image
    crops = random_crops(rng, *image.shape[-2:])
    chosen = crops.rows(rows.to(crops.top.device))
    return cropped(denoised, chosen, crop), cropped(image, chosen, crop)
