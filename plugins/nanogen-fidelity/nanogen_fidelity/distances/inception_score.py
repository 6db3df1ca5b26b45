"""The Inception score (arXiv 1606.03498) in the three ways in which it is published: exp of the mean divergence of
p(y | x) from p(y), over splits. They differ in the order of the rows, in the splits and in the guard of the logarithm.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from nanogen_core.errors import DataError

GUARD = 1e-10  # DiffusionBench's, inside the logarithms


def diffusionbench_inception_score(logits: Tensor, *, splits: int = 10) -> float:
    """Logits [N, K] in the order of the examples: shuffled by RandomState(0), `splits` of N // splits rows (the rest
    is left out), softmax in float32, 1e-10 inside the logarithms. The mean over the splits."""
    size = len(logits) // splits
    _refuse_empty(size, logits, splits)
    shares = _shuffled(logits, seed=0).float().softmax(dim=1).double()
    parts = torch.split(shares[: size * splits], size)
    return float(torch.stack([_score(part, GUARD) for part in parts]).mean())


def fidelity_inception_score(logits: Tensor, *, splits: int = 10, seed: int = 2020) -> tuple[float, float]:
    """torch-fidelity's: shuffled by RandomState(seed), float64, bounds i N // splits. Mean and deviation over them."""
    _refuse_empty(len(logits) // splits, logits, splits)
    shares = _shuffled(logits, seed=seed).double().softmax(dim=1)
    bounds = [number * len(logits) // splits for number in range(splits + 1)]
    parts = [shares[low:high] for low, high in pairwise(bounds)]
    scores = torch.stack([_score(part, 0.0) for part in parts])
    return float(scores.mean()), float(scores.std(correction=0))


def adm_inception_score(logits: Tensor, *, split_size: int = 5000) -> float:
    """guided-diffusion's: rows as they come, in splits of `split_size`, of which the last may be smaller."""
    _refuse_empty(len(logits), logits, 1)
    shares = logits.double().softmax(dim=1)
    return float(torch.stack([_score(part, 0.0) for part in torch.split(shares, split_size)]).mean())


def _score(shares: Tensor, guard: float) -> Tensor:
    """exp of the mean over rows [n, K] of KL(p(y | x), p(y)); 0 log 0 is 0."""
    margin = shares.mean(dim=0)
    terms = torch.xlogy(shares, shares + guard) - torch.xlogy(shares, margin + guard)
    score: Tensor = terms.sum(dim=1).mean().exp()
    return score


def _shuffled(rows: Tensor, *, seed: int) -> Tensor:
    return rows[torch.from_numpy(np.random.RandomState(seed).permutation(len(rows)))]


def _refuse_empty(size: int, logits: Tensor, splits: int) -> None:
    if size < 1:
        raise DataError(f"An Inception score over {splits} splits needs at least {splits} images, got {len(logits)}.")
