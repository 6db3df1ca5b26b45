"""Normalisation of VAE latents to about zero mean and unit variance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from nanogen_core.errors import DataError
from nanogen_vae.presets import Numbers


class Affine(NamedTuple):
    """Normalisation `latent = (z - shift) * scale` in float32."""

    shift: Tensor  # [1, C or 1, 1, 1]
    scale: Tensor  # [1, C or 1, 1, 1]

    def apply(self, z: Tensor) -> Tensor:
        """Normalise z [B, C, h, w] to latents [B, C, h, w]."""
        return (z - self.shift.to(z.device)) * self.scale.to(z.device)

    def denormalize(self, latents: Tensor) -> Tensor:
        """Invert `apply`: latents [B, C, h, w] to z [B, C, h, w]."""
        return latents / self.scale.to(latents.device) + self.shift.to(latents.device)


def affine_of(config: Mapping[str, Any], numbers: Numbers | None) -> Affine:
    """Return the normalisation of a model.

    It comes from `latents_mean` and `latents_std` of the config, else from `numbers`, else from `shift_factor` and
    `scaling_factor` of the config.

    Args:
        config: Content of config.json.
        numbers: Normalisation in the preset, if any.

    Raises:
        DataError: The config has only one of `latents_mean` and `latents_std`, or no normalisation.
    """
    mean, std = config.get("latents_mean"), config.get("latents_std")
    if (mean is None) != (std is None):
        raise DataError(
            "The VAE's config.json has only one of latents_mean and latents_std. Add the other one, or remove both."
        )
    if mean is not None and std is not None:
        return Affine(per_channel(mean), 1 / per_channel(std))
    shift, scale = numbers or (config.get("shift_factor") or 0.0, config.get("scaling_factor"))
    if scale is None:
        raise DataError(
            "The VAE's config.json does not say how its latents are normalised. Add scaling_factor, which is 1 divided"
            " by the standard deviation of the latents, or latents_mean and latents_std."
        )
    return Affine(per_channel([shift]), per_channel([scale]))


def per_channel(values: Sequence[float] | Tensor) -> Tensor:
    """Return C numbers, in lists of any depth, as a tensor [1, C, 1, 1]."""
    return torch.as_tensor(values, dtype=torch.float32).reshape(1, -1, 1, 1)
