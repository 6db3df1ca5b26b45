"""Precision and recall (arXiv 1904.06991), density and coverage (arXiv 2002.09797), from nearest-neighbour balls."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from nanogen_core.errors import DataError

BLOCK = 512  # rows of the distance matrix that are computed at once: 200 MB for 50,000 columns
TIE = 1e-10  # relative to the squared norms: squared distances that differ by less count as equal


def precision_recall(generated: Tensor, real: Tensor, *, k: int = 3) -> tuple[float, float]:
    """Compute precision and recall.

    The ball of an example reaches to its k-th nearest neighbour in its own set and includes its border. Precision is
    the share of generated examples inside the ball of a real one. Recall is the share of real examples inside the ball
    of a generated one.

    Args:
        generated: Features [N, D], N > k.
        real: Features [M, D], M > k.
        k: The neighbour that sets the radius.

    Returns:
        Precision and recall, in [0, 1].

    Raises:
        DataError: A set has at most k examples.
    """
    generated, real = _checked(generated, real, k)
    return _inside(generated, real, radii(real, k)), _inside(real, generated, radii(generated, k))


def density_coverage(generated: Tensor, real: Tensor, *, k: int = 5) -> tuple[float, float]:
    """Compute density and coverage.

    The ball of a real example reaches to its k-th nearest real neighbour and excludes its border, as in the authors'
    code. Density is the number of balls that contain a generated example, averaged over the generated examples and
    divided by k; it can exceed 1. Coverage is the share of balls that contain at least one generated example.

    Args:
        generated: Features [N, D], N > k.
        real: Features [M, D], M > k.
        k: The neighbour that sets the radius.

    Returns:
        Density and coverage.

    Raises:
        DataError: A set has at most k examples.
    """
    generated, real = _checked(generated, real, k)
    reach = radii(real, k)
    inside = real.new_zeros(len(real))  # generated examples in each ball
    for distances, tie in _blocks(generated, real):
        inside += (distances < reach - tie).sum(dim=0)
    return float(inside.sum() / (k * len(generated))), float((inside > 0).double().mean())


def radii(rows: Tensor, k: int) -> Tensor:
    """Return the squared distance [N] of each row [N, D] to its k-th nearest neighbour."""
    found = []
    for number, (distances, _) in enumerate(_blocks(rows, rows)):
        own = torch.arange(len(distances))
        distances[own, own + number * BLOCK] = torch.inf
        found.append(distances.kthvalue(k, dim=1).values)
    return torch.cat(found)


def _inside(points: Tensor, centres: Tensor, reach: Tensor) -> float:
    """Return the share of points that lie in the ball of any centre."""
    found = [(distances <= reach + tie).any(dim=1) for distances, tie in _blocks(points, centres)]
    return float(torch.cat(found).double().mean())


def _blocks(first: Tensor, second: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield squared distances [b, M] of `BLOCK` rows to all others, and the tolerance [b, M] for equal distances."""
    others = second.square().sum(dim=1)
    for block in torch.split(first, BLOCK):
        norms = block.square().sum(dim=1)[:, None] + others
        yield (norms - 2 * block @ second.T).clamp(min=0), TIE * norms


def _checked(generated: Tensor, real: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Both sets in float64, centred on the real mean for precision. Raises DataError for at most k examples."""
    if min(len(generated), len(real)) <= k:
        raise DataError(
            f"k nearest neighbours with k = {k} need at least {k + 1} examples in each set, got {len(generated)}"
            f" generated and {len(real)} real ones. Add images to the smaller set, or lower `k` or `density_k`."
        )
    centre = real.double().mean(dim=0)
    return generated.double() - centre, real.double() - centre
