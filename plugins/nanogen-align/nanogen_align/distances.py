"""Distances between projected tokens and a teacher's tokens."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch.nn.functional as F
from torch import Tensor


def squared(projected: Tensor, target: Tensor) -> Tensor:
    """Return the mean squared error of tokens [..., D], a scalar."""
    return F.mse_loss(projected, target)


def cosine(projected: Tensor, target: Tensor) -> Tensor:
    """Return the negative mean cosine similarity of tokens [..., D], a scalar in [-1, 1]."""
    return -F.cosine_similarity(projected, target, dim=-1).mean()


DISTANCES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {"mse": squared, "cosine": cosine}
