"""Restriction of perceptual losses to samples with little noise (t below a limit)."""

from __future__ import annotations

import torch
from torch import Tensor

from nanogen_core.tensors import ForwardPass, Losses
from nanogen_pixel.config import PerceptualConfig


def mean_over_batch(forward_pass: ForwardPass, config: PerceptualConfig, distances: Tensor) -> Losses:
    """Return `weight` times the batch mean of normalised distances, and the mean distance as the part "distance".

    Samples with t >= `below` count with a distance of 0. If tokens have their own times, t is the largest one. All
    samples are compared, because only the device knows which of them have little noise.

    Args:
        forward_pass: The forward pass.
        config: Limit of t, weight and normalisation.
        distances: The distances [B].
    """
    t = forward_pass.times.t
    early = (t if t.ndim == 1 else t.amax(dim=1)) < config.below
    distances = torch.where(early, distances, 0.0)
    normalized = distances / (distances.detach() + config.norm_eps) ** config.norm_p
    return Losses(config.weight * normalized.mean(), {"distance": distances.detach().mean()})
