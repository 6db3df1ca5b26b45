"""The distribution of training times, and the grid of sampling times."""

from __future__ import annotations

import torch
from torch import Tensor


def shifted(t: Tensor, shift: float) -> Tensor:
    """`s t / (1 + (s - 1) t)` (arXiv 2403.03206): maps [0, 1] onto itself, towards noise for s > 1."""
    return shift * t / (1 + (shift - 1) * t)


def logit_normal(normal: Tensor, mean: float, std: float) -> Tensor:
    """Standard normal numbers [B] -> times [B] in (0, 1) whose logit is normal(mean, std)."""
    return torch.sigmoid(mean + std * normal)


def sampling_grid(steps: int, shift: float) -> Tensor:
    """`steps + 1` times from 1 to 0, uniform before the shift: float64 [steps + 1]."""
    return shifted(torch.linspace(1, 0, steps + 1, dtype=torch.float64), shift)
