"""The six feature spaces of FDr6 and MIND6, and the Fréchet distance of real images in each."""

from __future__ import annotations

import math
from collections.abc import Mapping

#: The Fréchet distance of ImageNet's 50,000 validation images to the published statistics. The norm of `mae_cls` is
#: published with one digit, so `fdr_mae_cls` is uncertain by about 12%.
NORMS: Mapping[str, float] = {
    "inception": 1.68,
    "convnext": 56.87,
    "dinov2_cls": 14.19,
    "mae_cls": 0.04,
    "siglip_cls": 0.60,
    "clip_cls": 5.60,
}

#: The published files of moments of ImageNet's training images at 256 px, by space (`inception`: the file of ADM).
STATISTICS: Mapping[str, str] = {
    "inception": "guided_diffusion_stats.npz",
    "convnext": "convnext_in256_t224_stats.npz",
    "dinov2_cls": "vit_large_patch14_dinov2_lvd142m_in256_t256_stats.npz",
    "mae_cls": "vit_large_patch16_224_mae_in256_t224_stats.npz",
    "siglip_cls": "vit_so400m_patch16_siglip_256_v2_webli_in256_t224_stats.npz",
    "clip_cls": "vit_large_patch14_clip_224_openai_in256_t256_stats.npz",
}


def relative(distances: Mapping[str, float], norms: Mapping[str, float] = NORMS) -> dict[str, float]:
    """Divide Fréchet distances by the distances of real images.

    Args:
        distances: The distance of the evaluated images, by space.
        norms: The distance of real images to the same statistics, by space.

    Returns:
        `fdr_<space>` for each space, and their mean `fdr6` if all spaces of `norms` have a finite distance.
    """
    ratios = {f"fdr_{space}": distance / norms[space] for space, distance in distances.items()}
    if distances.keys() == norms.keys() and all(map(math.isfinite, ratios.values())):
        ratios["fdr6"] = sum(ratios.values()) / len(ratios)
    return ratios
