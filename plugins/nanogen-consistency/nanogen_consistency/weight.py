"""Learned weight of a loss as a function of time."""

from __future__ import annotations

import torch
from torch import Tensor, nn

FEATURES = 16


class AdaptiveWeight(nn.Module):
    """Logarithm w(a) of the weight, a linear map of sines and cosines of the angle a. Initially 0.

    The loss `exp(w(a)) error - w(a)` is lowest for `exp(w(a)) = 1 / E[error | a]`. The weighted error then has mean 1
    at each angle (EDM2, arXiv 2312.02696, equation 21).
    """

    frequencies: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2 * FEATURES))
        self.register_buffer("frequencies", 2 * torch.arange(FEATURES, dtype=torch.float32), persistent=False)

    def forward(self, angle: Tensor) -> Tensor:
        """Return w [B] of angles [B] in [0, pi / 2]."""
        phases = angle.float()[:, None] * self.frequencies  # [B, FEATURES]
        features = torch.cat([phases.cos(), (phases + angle.float()[:, None]).sin()], dim=1)
        return (features * self.weight).sum(dim=1)
