"""The six spaces of FDr6 and MIND6, and how far real images are from real images in each."""

from __future__ import annotations

import math
from collections.abc import Mapping

#: The Fréchet distance of ImageNet's 50,000 validation images from the published statistics. `mae_cls` has one digit
#: alone, which leaves a twelfth of its term open.
NORMS: Mapping[str, float] = {
    "inception": 1.68,
    "convnext": 56.87,
    "dinov2_cls": 14.19,
    "mae_cls": 0.04,
    "siglip_cls": 0.60,
    "clip_cls": 5.60,
}

#: The published files of moments by space: of ImageNet's training images, 256 px (`inception`: ADM's own).
STATISTICS: Mapping[str, str] = {
    "inception": "guided_diffusion_stats.npz",
    "convnext": "convnext_in256_t224_stats.npz",
    "dinov2_cls": "vit_large_patch14_dinov2_lvd142m_in256_t256_stats.npz",
    "mae_cls": "vit_large_patch16_224_mae_in256_t224_stats.npz",
    "siglip_cls": "vit_so400m_patch16_siglip_256_v2_webli_in256_t224_stats.npz",
    "clip_cls": "vit_large_patch14_clip_224_openai_in256_t256_stats.npz",
}


def relative(distances: Mapping[str, float], norms: Mapping[str, float] = NORMS) -> dict[str, float]:
    """`fdr_x = fd_x / norm_x` for each space, and `fdr6`, their mean, where all of them are there and finite."""
    shares = {f"fdr_{space}": distance / norms[space] for space, distance in distances.items()}
    if distances.keys() == norms.keys() and all(map(math.isfinite, shares.values())):
        shares["fdr6"] = sum(shares.values()) / len(shares)
    return shares
