"""MIND, the monotone sliced distance between two sets of features (arXiv 2605.06797), as in torch-fidelity."""

from __future__ import annotations

import torch
from torch import Tensor

from nanogen_core.errors import DataError

PROJECTIONS = 1000
SEED = 2020
CHUNK = 64  # directions that are projected on at once


def mind(generated: Tensor, real: Tensor, *, projections: int = PROJECTIONS, seed: int = SEED) -> float:
    """Compute `3 D mean_u mean_i (sort(X u)_i - sort(Y u)_i)^2` over random unit directions u.

    If N and M differ, a random subset of the larger set is used. The order of the rows matters only then.

    Args:
        generated: Features X [N, D].
        real: Features Y [M, D].
        projections: The number of directions.
        seed: The seed of the CPU generator, which draws the subset first and then the directions.

    Raises:
        DataError: A set has no examples.
    """
    if not min(len(generated), len(real)):
        raise DataError(
            f"MIND needs generated and real examples, got {len(generated)} and {len(real)}. Add images to"
            " the empty set."
        )
    generator = torch.Generator().manual_seed(seed)
    x, y = _equally_many(generated.float().cpu(), real.float().cpu(), generator)
    directions = unit_directions(projections, x.shape[1], generator)
    gaps = [_gaps(x, y, some) for some in torch.split(directions, CHUNK)]
    return float(3 * x.shape[1] * torch.cat(gaps).mean())


def unit_directions(count: int, width: int, generator: torch.Generator) -> Tensor:
    """Draw directions [count, width] float32 uniformly from the unit sphere."""
    directions = torch.randn(count, width, generator=generator)
    lengths: Tensor = directions.norm(dim=1, keepdim=True)
    return directions / lengths.clamp(min=1e-12)


def _gaps(x: Tensor, y: Tensor, directions: Tensor) -> Tensor:
    """Return the mean squared difference of the sorted projections on each direction [u]."""
    sorted_x, sorted_y = ((rows @ directions.T).sort(dim=0).values for rows in (x, y))
    gaps: Tensor = (sorted_x - sorted_y).double().square().mean(dim=0)
    return gaps


def _equally_many(x: Tensor, y: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Reduce the larger set to a random subset of the size of the smaller one."""
    size = min(len(x), len(y))
    if len(x) == len(y):
        return x, y
    subset = torch.randperm(max(len(x), len(y)), generator=generator)[:size]
    return (x[subset], y) if len(x) > size else (x, y[subset])
