"""FID_inf: the Fréchet distance extrapolated to infinitely many examples (arXiv 1911.07023)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from nanogen_core.errors import DataError
from nanogen_fidelity.distances.frechet import Moments, frechet_distance, moments

POINTS = 15  # subset sizes, evenly spaced
SEED = 0


def extrapolated_distance(features: Tensor, reference: Moments, *, points: int = POINTS, seed: int = SEED) -> float:
    """Extrapolate the Fréchet distance to infinitely many examples.

    The distance is computed for random subsets of n examples, with n from N/10 to N. The result is the intercept of the
    least-squares line through the points (1/n, distance).

    Args:
        features: [N, D], N >= 20.
        reference: The moments to compare with.
        points: The number of subsets.
        seed: The seed of numpy's RandomState, which draws the subsets without replacement.

    Raises:
        DataError: There are fewer than 20 examples.
    """
    if len(features) < 20:
        raise DataError(
            f"The extrapolated distance needs at least 20 examples, got {len(features)}. Evaluate more images, or"
            " set `extrapolate: false`."
        )
    random = np.random.RandomState(seed)
    counts = np.linspace(max(2, len(features) // 10), len(features), points).astype(int)
    distances = [_of_some(features, int(count), reference, random) for count in counts]
    return float(np.polynomial.Polynomial.fit(1 / counts, distances, deg=1).convert().coef[0])


def _of_some(features: Tensor, count: int, reference: Moments, random: np.random.RandomState) -> float:
    rows = torch.from_numpy(random.permutation(len(features))[:count])
    return frechet_distance(moments(features[rows]), reference)
