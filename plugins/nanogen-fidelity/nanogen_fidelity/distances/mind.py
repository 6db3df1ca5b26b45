"""MIND, the monotone sliced distance of two sets of features (arXiv 2605.06797), by torch-fidelity's draws."""

from __future__ import annotations

import torch
from torch import Tensor

from nanogen_core.errors import DataError

PROJECTIONS = 1000
SEED = 2020
CHUNK = 64  # directions at a time


def mind(generated: Tensor, real: Tensor, *, projections: int = PROJECTIONS, seed: int = SEED) -> float:
    """`3 D mean_u mean_i (sort(X u)_i - sort(Y u)_i)^2` for features X [N, D] and Y [M, D]; no root is taken.

    One generator on the CPU draws all: where N and M differ, the rows that the larger set keeps, and then the
    directions u, of unit length. The order of the rows matters in that first case alone.
    """
    if not min(len(generated), len(real)):
        raise DataError("MIND needs examples on both sides.")
    generator = torch.Generator().manual_seed(seed)
    x, y = _equally_many(generated.float().cpu(), real.float().cpu(), generator)
    directions = unit_directions(projections, x.shape[1], generator)
    gaps = [_gaps(x, y, some) for some in torch.split(directions, CHUNK)]
    return float(3 * x.shape[1] * torch.cat(gaps).mean())


def unit_directions(count: int, width: int, generator: torch.Generator) -> Tensor:
    """`count` Gaussian directions of unit length [count, D] float32."""
    directions = torch.randn(count, width, generator=generator)
    lengths: Tensor = directions.norm(dim=1, keepdim=True)
    return directions / lengths.clamp(min=1e-12)


def _gaps(x: Tensor, y: Tensor, directions: Tensor) -> Tensor:
    """Mean squared difference of the sorted projections, for each direction."""
    sorted_x, sorted_y = ((rows @ directions.T).sort(dim=0).values for rows in (x, y))
    gaps: Tensor = (sorted_x - sorted_y).double().square().mean(dim=0)  # [u]
    return gaps


def _equally_many(x: Tensor, y: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """The larger set cut to the size of the smaller one."""
    size = min(len(x), len(y))
    if len(x) == len(y):
        return x, y
    kept = torch.randperm(max(len(x), len(y)), generator=generator)[:size]
    return (x[kept], y) if len(x) > size else (x, y[kept])
