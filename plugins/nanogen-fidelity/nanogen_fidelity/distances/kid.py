"""The kernel Inception distance (arXiv 1801.01401): the unbiased squared MMD with the kernel (x'y / D + 1)^3."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from nanogen_core.errors import DataError

BLOCK = 512  # rows of the kernel matrix that are computed at once


def kid(generated: Tensor, real: Tensor) -> float:
    """Compute KID over all pairs, in float64 and without random subsets.

    Args:
        generated: Features [N, D], N >= 2.
        real: Features [M, D], M >= 2.

    Raises:
        DataError: A set has fewer than two examples.
    """
    if min(len(generated), len(real)) < 2:
        raise DataError(
            f"KID needs at least two generated and two real examples, got {len(generated)} and {len(real)}. Add"
            " images to the smaller set."
        )
    generated, real = generated.double(), real.double()
    own = _mean_of_pairs(generated) + _mean_of_pairs(real)
    return float(own - 2 * _sum(generated, real) / (len(generated) * len(real)))


def subset_kid(
    generated: Tensor, real: Tensor, *, subsets: int = 100, size: int = 1000, seed: int = 2020
) -> tuple[float, float]:
    """Compute KID over random subsets, as torch-fidelity does.

    Args:
        generated: Features [N, D].
        real: Features [M, D].
        subsets: The number of subsets.
        size: The number of rows that a subset takes from each set.
        seed: The seed of the RandomState that draws all subsets. For each, it draws the generated rows first.

    Returns:
        Mean and standard deviation over the subsets.

    Raises:
        DataError: A set has fewer rows than `size`.
    """
    if min(len(generated), len(real)) < size:
        raise DataError(
            f"Subsets of {size} cannot be drawn from {len(generated)} generated and {len(real)} real examples. Lower"
            " `subset_size`, or leave it out to use all pairs."
        )
    random = np.random.RandomState(seed)
    values = []
    for _ in range(subsets):
        ours, theirs = (torch.from_numpy(random.choice(len(x), size, replace=False)) for x in (generated, real))
        values.append(kid(generated[ours], real[theirs]))
    return float(np.mean(values)), float(np.std(values))


def _mean_of_pairs(rows: Tensor) -> Tensor:
    """Return the mean of the kernel over pairs of different rows."""
    own = (rows.square().sum(dim=1) / rows.shape[1] + 1) ** 3
    return (_sum(rows, rows) - own.sum()) / (len(rows) * (len(rows) - 1))


def _sum(first: Tensor, second: Tensor) -> Tensor:
    """Return the sum of the kernel over all pairs."""
    blocks = [((block @ second.T / first.shape[1] + 1) ** 3).sum() for block in torch.split(first, BLOCK)]
    return torch.stack(blocks).sum()
