"""The kernel Inception distance (arXiv 1801.01401): unbiased squared MMD with the kernel (x'y / D + 1)^3."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from nanogen_core.errors import DataError

BLOCK = 512  # rows of a kernel matrix at a time


def kid(generated: Tensor, real: Tensor) -> float:
    """Of all pairs of features [N, D] and [M, D], in float64: no draw of subsets, so no chance in it."""
    if min(len(generated), len(real)) < 2:
        raise DataError("The kernel Inception distance needs at least two examples on either side.")
    generated, real = generated.double(), real.double()
    own = _mean_of_pairs(generated) + _mean_of_pairs(real)
    return float(own - 2 * _sum(generated, real) / (len(generated) * len(real)))


def subset_kid(
    generated: Tensor, real: Tensor, *, subsets: int = 100, size: int = 1000, seed: int = 2020
) -> tuple[float, float]:
    """torch-fidelity's: mean and deviation over `subsets` draws of `size` rows of both, by one RandomState(seed), the
    generated ones first. Raises DataError where there are fewer rows than `size`."""
    if min(len(generated), len(real)) < size:
        raise DataError(
            f"Subsets of {size} cannot be drawn from {len(generated)} generated and {len(real)} real examples:"
            " choose a smaller subset_size, or none, which takes all pairs."
        )
    random = np.random.RandomState(seed)
    values = []
    for _ in range(subsets):
        ours, theirs = (torch.from_numpy(random.choice(len(x), size, replace=False)) for x in (generated, real))
        values.append(kid(generated[ours], real[theirs]))
    return float(np.mean(values)), float(np.std(values))


def _mean_of_pairs(rows: Tensor) -> Tensor:
    """The kernel's mean over pairs of different rows."""
    own = (rows.square().sum(dim=1) / rows.shape[1] + 1) ** 3
    return (_sum(rows, rows) - own.sum()) / (len(rows) * (len(rows) - 1))


def _sum(first: Tensor, second: Tensor) -> Tensor:
    """The kernel's sum over all pairs."""
    blocks = [((block @ second.T / first.shape[1] + 1) ** 3).sum() for block in torch.split(first, BLOCK)]
    return torch.stack(blocks).sum()
