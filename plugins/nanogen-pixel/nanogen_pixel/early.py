"""Restriction of perceptual losses to samples with little noise (t below a limit)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from nanogen_core.tensors import ForwardPass, Losses
from nanogen_pixel.config import PerceptualConfig


def rows_below(forward_pass: ForwardPass, limit: float) -> Tensor:
    """Return the indices [A] of the samples with t < limit. If tokens have their own times, t is the largest one."""
    t = forward_pass.times.t
    return torch.nonzero((t if t.ndim == 1 else t.amax(dim=1)) < limit)[:, 0]


def mean_over_batch(
    forward_pass: ForwardPass, rows: Tensor, config: PerceptualConfig, distance: Callable[[], Tensor]
) -> Losses:
    """Return `weight` times the batch mean of normalised distances, and the mean distance as the part "distance".

    Args:
        forward_pass: The forward pass. Means are over its whole batch.
        rows: Indices [A] of the samples with little noise. Other samples count with a distance of 0.
        config: Weight and normalisation.
        distance: Computes the distances [A]. If `rows` is empty, it is not called, and the loss is 0 without parts.
    """
    if not len(rows):
        return Losses(forward_pass.times.t.new_zeros(()))
    distances = distance()
    normalized = distances / (distances.detach() + config.norm_eps) ** config.norm_p
    count = len(forward_pass.times.t)
    return Losses(config.weight * normalized.sum() / count, {"distance": distances.detach().sum() / count})
