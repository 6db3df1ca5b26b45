"""Distribution of training times and grid of sampling times."""

from __future__ import annotations

import torch
from torch import Tensor


def shifted(t: Tensor, shift: float) -> Tensor:
    """Map t to `s t / (1 + (s - 1) t)` for s = `shift` (arXiv 2403.03206). s > 1 increases times between 0 and 1."""
    return shift * t / (1 + (shift - 1) * t)


def logit_normal(normal: Tensor, mean: float, std: float) -> Tensor:
    """Map standard normal numbers to times in (0, 1), elementwise: `sigmoid(mean + std * normal)`."""
    return torch.sigmoid(mean + std * normal)


def uniform(normal: Tensor) -> Tensor:
    """Map standard normal numbers to uniform times in [0, 1], elementwise, by their distribution function."""
    t: Tensor = torch.special.ndtr(normal)
    return t


def sampling_grid(steps: int, shift: float) -> Tensor:
    """Return `steps + 1` float64 times from 1 to 0: a uniform grid, then shifted."""
    return shifted(torch.linspace(1, 0, steps + 1, dtype=torch.float64), shift)
