"""What makes a VAE's latents about zero mean and unit variance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from nanogen_core.errors import DataError
from nanogen_vae.presets import Numbers


class Affine(NamedTuple):
    """latent = (z - shift) * scale, in float32."""

    shift: Tensor  # [1, C or 1, 1, 1]
    scale: Tensor  # [1, C or 1, 1, 1]

    def apply(self, z: Tensor) -> Tensor:
        """z [B, C, h, w] -> latents [B, C, h, w]."""
        return (z - self.shift.to(z.device)) * self.scale.to(z.device)

    def denormalize(self, latents: Tensor) -> Tensor:
        """Latents [B, C, h, w] -> z [B, C, h, w]."""
        return latents / self.scale.to(latents.device) + self.shift.to(latents.device)


def affine_of(config: Mapping[str, Any], numbers: Numbers | None) -> Affine:
    """From a model's config and its preset's numbers, the first of: the config's `latents_mean` and `latents_std`,
    the preset's numbers, the config's `shift_factor` and `scaling_factor`.

    Raises DataError for a mean without a deviation, or the other way round.
    """
    mean, deviation = config.get("latents_mean"), config.get("latents_std")
    if (mean is None) != (deviation is None):
        raise DataError("The VAE's config.json has one of latents_mean and latents_std: it needs both or neither.")
    if mean is not None and deviation is not None:
        return Affine(per_channel(mean), 1 / per_channel(deviation))
    shift, scale = numbers or (config.get("shift_factor") or 0.0, config["scaling_factor"])
    return Affine(per_channel([shift]), per_channel([scale]))


def per_channel(values: Sequence[float] | Tensor) -> Tensor:
    """C numbers, in lists of any depth, as [1, C, 1, 1]."""
    return torch.as_tensor(values, dtype=torch.float32).reshape(1, -1, 1, 1)
