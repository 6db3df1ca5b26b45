"""The samples of a batch with so little noise that a guess at the image is one to look at."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from nanogen_core.tensors import Losses, Seen


def rows_below(seen: Seen, limit: float) -> Tensor:
    """The places in the batch where t < limit: int64 [A]."""
    return torch.nonzero(seen.times.t < limit)[:, 0]


def mean_over_batch(seen: Seen, rows: Tensor, weight: float, distance: Callable[[], Tensor]) -> Losses:
    """`weight` times the batch mean of a distance [A] that is 0 outside `rows`; nothing is computed without rows."""
    if not len(rows):
        return Losses(seen.times.t.new_zeros(()))
    mean = distance().sum() / len(seen.times.t)
    return Losses(weight * mean, {"distance": mean.detach()})
