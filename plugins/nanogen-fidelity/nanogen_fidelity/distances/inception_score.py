"""The Inception score (arXiv 1606.03498) in three published variants: `exp E_x KL(p(y | x) || p(y))`, over splits.

The variants differ in the order of the rows, the splits, and the constant inside the logarithms.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from nanogen_core.errors import DataError

GUARD = 1e-10  # DiffusionBench's constant inside the logarithms


def diffusionbench_inception_score(logits: Tensor, *, splits: int = 10) -> float:
    """Compute the variant of DiffusionBench.

    Rows are shuffled by RandomState(0) and split into `splits` parts of N // splits rows; the rest is dropped. The
    softmax is in float32, and the logarithms are of p + 1e-10.

    Args:
        logits: [N, K] in the order of the images.
        splits: The number of splits.

    Returns:
        The mean score over the splits.

    Raises:
        DataError: There are fewer images than splits.
    """
    _refuse_few(logits, splits)
    size = len(logits) // splits
    probabilities = _shuffled(logits, seed=0).float().softmax(dim=1).double()
    parts = torch.split(probabilities[: size * splits], size)
    return float(torch.stack([_score(part, GUARD) for part in parts]).mean())


def fidelity_inception_score(logits: Tensor, *, splits: int = 10, seed: int = 2020) -> tuple[float, float]:
    """Compute the variant of torch-fidelity.

    Rows are shuffled by RandomState(seed). Split i has the rows from i N // splits to (i + 1) N // splits. Everything
    is in float64.

    Args:
        logits: [N, K] in the order of the images.
        splits: The number of splits.
        seed: The seed of the shuffle.

    Returns:
        Mean and standard deviation over the splits.

    Raises:
        DataError: There are fewer images than splits.
    """
    _refuse_few(logits, splits)
    probabilities = _shuffled(logits, seed=seed).double().softmax(dim=1)
    bounds = [number * len(logits) // splits for number in range(splits + 1)]
    parts = [probabilities[low:high] for low, high in pairwise(bounds)]
    scores = torch.stack([_score(part, 0.0) for part in parts])
    return float(scores.mean()), float(scores.std(correction=0))


def adm_inception_score(logits: Tensor, *, split_size: int = 5000) -> float:
    """Compute the variant of ADM (guided-diffusion).

    Args:
        logits: [N, K] in the order of the images, which are not shuffled.
        split_size: Rows of a split. The last split may be smaller.

    Returns:
        The mean score over the splits.

    Raises:
        DataError: There are no images.
    """
    _refuse_few(logits, 1)
    probabilities = logits.double().softmax(dim=1)
    return float(torch.stack([_score(part, 0.0) for part in torch.split(probabilities, split_size)]).mean())


def _score(probabilities: Tensor, guard: float) -> Tensor:
    """exp of the mean KL(p(y | x) || p(y)) over rows [n, K], with 0 log 0 = 0."""
    marginal = probabilities.mean(dim=0)
    terms = torch.xlogy(probabilities, probabilities + guard) - torch.xlogy(probabilities, marginal + guard)
    score: Tensor = terms.sum(dim=1).mean().exp()
    return score


def _shuffled(rows: Tensor, *, seed: int) -> Tensor:
    return rows[torch.from_numpy(np.random.RandomState(seed).permutation(len(rows)))]


def _refuse_few(logits: Tensor, splits: int) -> None:
    """Raise DataError if there are no images, or fewer images than splits."""
    if not len(logits):
        raise DataError("An Inception score needs images, got none. Evaluate at least one.")
    if len(logits) < splits:
        raise DataError(
            f"An Inception score over {splits} splits needs at least {splits} images, got {len(logits)}. Evaluate more"
            " images, or lower `splits`."
        )
