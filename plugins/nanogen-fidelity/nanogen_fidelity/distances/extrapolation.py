"""The Fréchet distance of infinitely many examples, from how it falls with their number (arXiv 1911.07023)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from nanogen_core.errors import DataError
from nanogen_fidelity.distances.frechet import Moments, frechet_distance, moments

POINTS = 15  # numbers of examples, spread evenly up to all
SEED = 0


def extrapolated_distance(features: Tensor, reference: Moments, *, points: int = POINTS, seed: int = SEED) -> float:
    """FID_inf: the intercept of a line through (1/n, distance of n of the examples [N, D]), n from N/10 to N.

    The subsets are drawn without replacement by numpy's RandomState(seed). Raises DataError for fewer than 20 examples.
    """
    if len(features) < 20:
        raise DataError(f"The extrapolated distance needs at least 20 examples, there are {len(features)}.")
    random = np.random.RandomState(seed)
    counts = np.linspace(max(2, len(features) // 10), len(features), points).astype(int)
    distances = [_of_some(features, int(count), reference, random) for count in counts]
    return float(np.polynomial.Polynomial.fit(1 / counts, distances, deg=1).convert().coef[0])


def _of_some(features: Tensor, count: int, reference: Moments, random: np.random.RandomState) -> float:
    rows = torch.from_numpy(random.permutation(len(features))[:count])
    return frechet_distance(moments(features[rows]), reference)
