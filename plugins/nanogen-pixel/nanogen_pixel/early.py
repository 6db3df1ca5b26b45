"""The samples of a batch with so little noise that the predicted image can be compared with the real one."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from nanogen_core.tensors import ForwardPass, Losses
from nanogen_pixel.config import PerceptualConfig


def rows_below(forward_pass: ForwardPass, limit: float) -> Tensor:
    """The places in the batch where t < limit: int64 [A]."""
    return torch.nonzero(forward_pass.times.t < limit)[:, 0]


def mean_over_batch(
    forward_pass: ForwardPass, rows: Tensor, config: PerceptualConfig, distance: Callable[[], Tensor]
) -> Losses:
    """The weighted batch mean of a distance [A] that is 0 outside `rows`, and the plain mean as a part.

    Nothing is computed without rows.
    """
    if not len(rows):
        return Losses(forward_pass.times.t.new_zeros(()))
    found = distance()
    normalized = found / (found.detach() + config.norm_eps) ** config.norm_p
    count = len(forward_pass.times.t)
    return Losses(config.weight * normalized.sum() / count, {"distance": found.detach().sum() / count})
