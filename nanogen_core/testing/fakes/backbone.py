"""A backbone of three convolutions, which sees the time and the condition as a shift of its channels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from attrs import frozen
from torch import Tensor, nn

from nanogen_core.errors import NanoGenError
from nanogen_core.specs import ConditionSpec, LatentSpec
from nanogen_core.tensors import Condition, Prediction, State, Times


@frozen(kw_only=True)
class TinyBackboneConfig:
    """`two_time`: whether the network is told t - r as well."""

    width: int = 32
    two_time: bool = False


class TinyBackbone(nn.Module):
    """Provides `features` (the output `block.1`) and `jvp`; with `two_time` also `two-time`. Zero at initialization."""

    def __init__(self, config: TinyBackboneConfig, *, latent: LatentSpec, condition: ConditionSpec):
        super().__init__()
        self.config = config
        self.inlet = nn.Conv2d(latent.channels, config.width, 3, padding=1)
        self.time = nn.Linear(2 * (1 + config.two_time), config.width)
        self.condition = nn.Linear(condition.width, config.width)
        self.block = nn.Conv2d(config.width, config.width, 3, padding=1)
        self.outlet = nn.Conv2d(config.width, latent.channels, 3, padding=1)
        nn.init.zeros_(self.outlet.weight)
        nn.init.zeros_(self.outlet.bias)  # type: ignore[arg-type]

    def forward(
        self, state: State, times: Times, condition: Condition, intermediates: Sequence[str] = ()
    ) -> Prediction:
        """States [B, C, h, w] at `times`; `intermediates`: `"block.1"`. Raises NanoGenError for another name."""
        if unknown := set(intermediates) - {"block.1"}:
            raise NanoGenError(f"tiny-backbone has no intermediate {min(unknown)!r}; it has: block.1.")
        shift = self.time(self._angles(times)) + self.condition(mean_token(condition))  # [B, width]
        hidden = F.silu(self.inlet(state.latent) + shift[:, :, None, None])  # [B, width, h, w]
        hidden = hidden + F.silu(self.block(hidden))
        features = {tap: hidden.flatten(2).transpose(1, 2) for tap in intermediates}  # [B, h * w, width]
        return Prediction(State(self.outlet(hidden).float()), features)

    def _angles(self, times: Times) -> Tensor:
        angles = [times.t, times.t - times.r] if self.config.two_time else [times.t]
        return torch.stack([wave(3 * angle) for angle in angles for wave in (torch.sin, torch.cos)], dim=1)  # [B, 2|4]


def mean_token(condition: Condition) -> Tensor:
    """The mean of the real tokens, [B, D]; zero in a row without any."""
    if condition.mask is None:
        return condition.tokens.mean(dim=1)
    real = condition.mask[..., None]
    return torch.where(real, condition.tokens, 0).sum(dim=1) / real.sum(dim=1).clamp(min=1)
