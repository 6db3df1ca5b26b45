"""A backbone of three convolutions. Time and condition shift the channels of its first layer."""

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
    """Options of TinyBackbone: hidden channels, and whether the network also receives t - r."""

    width: int = 32
    two_time: bool = False


class TinyBackbone(nn.Module):
    """Convolutional backbone with the intermediate `block.1`. Supports `jvp`, and a time per token (`token-times`).

    With the option `two_time`, the output also depends on t - r. The initial output is zero.
    """

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
        """Return the output for states [B, C, h, w]. Raises NanoGenError for intermediates other than "block.1"."""
        if unknown := set(intermediates) - {"block.1"}:
            raise NanoGenError(f"tiny-backbone has no intermediate {min(unknown)!r}; it has: block.1.")
        inlet = self.inlet(state.latent)  # [B, width, h, w]
        time = self.time(self._angles(times))  # [B, width], or [B, h * w, width] for times per token
        if time.ndim == 3:
            inlet, time = inlet + time.transpose(1, 2).reshape(inlet.shape), torch.zeros_like(time[:, 0])
        shift = time + self.condition(mean_token(condition))  # [B, width]
        hidden = F.silu(inlet + shift[:, :, None, None])
        hidden = hidden + F.silu(self.block(hidden))
        features = {tap: hidden.flatten(2).transpose(1, 2) for tap in intermediates}  # [B, h * w, width]
        return Prediction(State(self.outlet(hidden).float()), features)

    def _angles(self, times: Times) -> Tensor:
        """Return sines and cosines of the times: [B, 2|4], or [B, N, 2|4]."""
        angles = [times.t, times.t - times.r] if self.config.two_time else [times.t]
        return torch.stack([wave(3 * angle) for angle in angles for wave in (torch.sin, torch.cos)], dim=-1)


def mean_token(condition: Condition) -> Tensor:
    """Return the mean [B, D] of the unmasked tokens of each row; zero for a row whose tokens are all masked."""
    if condition.mask is None:
        return condition.tokens.mean(dim=1)
    real = condition.mask[..., None]
    return torch.where(real, condition.tokens, 0).sum(dim=1) / real.sum(dim=1).clamp(min=1)
