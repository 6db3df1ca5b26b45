"""How far projected tokens are from a teacher's."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch.nn.functional as F
from torch import Tensor


def squared(ours: Tensor, theirs: Tensor) -> Tensor:
    """The mean squared error over everything: [..., D], [..., D] -> []."""
    return F.mse_loss(ours, theirs)


def cosine(ours: Tensor, theirs: Tensor) -> Tensor:
    """Minus the mean cosine similarity, between -1 and 1: [..., D], [..., D] -> []."""
    return -F.cosine_similarity(ours, theirs, dim=-1).mean()


DISTANCES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {"mse": squared, "cosine": cosine}
