"""Batch normalisation of latents, without learned parameters (arXiv 2504.10483, section 3.2)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from nanogen_train.distributed import processes


class Moments(NamedTuple):
    """Mean [C] and unbiased variance [C] of each channel, over the batches of all processes."""

    mean: Tensor
    variance: Tensor


class LatentNorm(nn.Module):
    """`latent = (z - running_mean) / sqrt(running_var + eps)`, per channel.

    `forward` uses the running statistics, as BatchNorm does in evaluation; `by_batch` uses the statistics of the batch,
    as in training. `update` is separate, so that computing a loss changes nothing.

    Args:
        mean: Initial running mean [C].
        std: Initial running standard deviation [C].
        eps: Added to the variance.
        momentum: Weight of a batch in the running statistics.
    """

    running_mean: Tensor  # [C]
    running_var: Tensor  # [C]

    def __init__(self, mean: Tensor, std: Tensor, *, eps: float, momentum: float):
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.register_buffer("running_mean", mean.detach().clone().float())
        self.register_buffer("running_var", std.detach().float().square())

    def forward(self, z: Tensor) -> Tensor:
        """Normalise z [B, C, h, w] by the running statistics."""
        return (z - _wide(self.running_mean)) * _wide((self.running_var + self.eps).rsqrt())

    def inverse(self, latents: Tensor) -> Tensor:
        """Invert `forward`: latents [B, C, h, w] to z [B, C, h, w]."""
        return latents * _wide((self.running_var + self.eps).sqrt()) + _wide(self.running_mean)

    @torch.no_grad()
    def by_batch(self, z: Tensor) -> tuple[Tensor, Moments]:
        """Normalise z [B, C, h, w], without gradient, by the statistics over all processes. All processes must call it.

        Returns:
            The latents, and the moments for `update`.
        """
        wide = z.double()
        first, second = processes.mean(torch.stack([wide.mean(dim=(0, 2, 3)), wide.square().mean(dim=(0, 2, 3))]))
        variance = (second - first.square()).clamp(min=0)
        count = processes.world() * z.numel() // z.shape[1]
        latents = (wide - _wide(first)) * _wide((variance + self.eps).rsqrt())
        return latents.float(), Moments(first.float(), (variance * count / max(1, count - 1)).float())

    @torch.no_grad()
    def update(self, moments: Moments) -> None:
        """Update the running statistics by the moments of a batch, with the weight `momentum`."""
        self.running_mean.lerp_(moments.mean, self.momentum)
        self.running_var.lerp_(moments.variance, self.momentum)


def _wide(values: Tensor) -> Tensor:
    return values[:, None, None]
