"""Precision and recall (arXiv 1904.06991), density and coverage (arXiv 2002.09797), by balls around examples."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from nanogen_core.errors import DataError

BLOCK = 512  # rows of a distance matrix at a time: 200 MB for 50,000 columns
TIE = 1e-10  # of the squared norms: distances that differ by less are equal, however they were rounded


def precision_recall(generated: Tensor, real: Tensor, *, k: int = 3) -> tuple[float, float]:
    """Shares of the generated examples [N, D] inside a ball of the real ones [M, D], and the other way round.

    A ball reaches to the k-th nearest other example of its own set, border included.
    """
    generated, real = _checked(generated, real, k)
    return _inside(generated, real, radii(real, k)), _inside(real, generated, radii(generated, k))


def density_coverage(generated: Tensor, real: Tensor, *, k: int = 5) -> tuple[float, float]:
    """In how many real balls a generated example lies, over k; and the share of real balls with one inside.

    The border is outside, as in the authors' code. Density may exceed 1.
    """
    generated, real = _checked(generated, real, k)
    reach = radii(real, k)
    inside = real.new_zeros(len(real))  # generated examples in each ball
    for distances, tie in _blocks(generated, real):
        inside += (distances < reach - tie).sum(dim=0)
    return float(inside.sum() / (k * len(generated))), float((inside > 0).double().mean())


def radii(rows: Tensor, k: int) -> Tensor:
    """The squared distance of each row [N, D] to the k-th nearest other one, [N]."""
    found = []
    for number, (distances, _) in enumerate(_blocks(rows, rows)):
        own = torch.arange(len(distances))
        distances[own, own + number * BLOCK] = torch.inf
        found.append(distances.kthvalue(k, dim=1).values)
    return torch.cat(found)


def _inside(points: Tensor, centres: Tensor, reach: Tensor) -> float:
    """The share of points that lie in a ball around any centre."""
    found = [(distances <= reach + tie).any(dim=1) for distances, tie in _blocks(points, centres)]
    return float(torch.cat(found).double().mean())


def _blocks(first: Tensor, second: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Squared distances of `BLOCK` rows to all others [b, M], and below which difference they are equal [b, M]."""
    others = second.square().sum(dim=1)
    for block in torch.split(first, BLOCK):
        norms = block.square().sum(dim=1)[:, None] + others
        yield (norms - 2 * block @ second.T).clamp(min=0), TIE * norms


def _checked(generated: Tensor, real: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Both in float64, about the mean of the real ones, where fewer digits are lost."""
    if min(len(generated), len(real)) <= k:
        raise DataError(
            f"The {k} nearest neighbours need more than {k} examples on either side, there are {len(generated)}"
            f" generated and {len(real)} real ones."
        )
    centre = real.double().mean(dim=0)
    return generated.double() - centre, real.double() - centre
