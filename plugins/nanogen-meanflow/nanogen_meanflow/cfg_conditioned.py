"""A network conditioned on its guidance: random in training, chosen at sampling (Improved MeanFlow, arXiv 2512.02012).

The backbone reads `Condition.extras["guidance"]` [B, 3]: 1 - 1/w of a scale w, and the interval [t_min, t_max] of times
where w holds. The scale is 1 at other times.
"""

from __future__ import annotations

import math

import torch
from attrs import evolve
from torch import Tensor

from nanogen_core.errors import ConfigError
from nanogen_core.protocols import VelocityFn
from nanogen_core.randomness import KeyedRNG
from nanogen_core.tensors import Condition, Prediction, State, Times
from nanogen_flow.times import shifted
from nanogen_meanflow.config import CFGConditionedMeanFlowConfig, CFGConditioningConfig
from nanogen_meanflow.improved import Regression
from nanogen_meanflow.inputs import GUIDANCE, MeanFlowInputs, at_instants, with_extra


class CFGConditionedMeanFlow(Regression):
    """A random guidance for each sample: `v_g = v + (1 - 1/w) (u(z,t,t|c,w) - u(z,t,t|null))` for t in [a, b].

    w has the density `w^-scale_power` on [1, scale_max]. a is uniform in [0, 1/2] and b in [1/2, 1], shifted like the
    times; [a, b] = [0, 1] where r = t. The conditional velocity and the direction of du/dt use the scale that holds at
    t, with the interval [0, 1]. The unconditional velocity uses w = 1.
    """

    config: CFGConditionedMeanFlowConfig

    def with_guidance(self, condition: Condition, has_interval: Tensor, rng: KeyedRNG) -> Condition:
        """The condition with a random guidance for each sample."""
        share, start, end = rng.uniform("meanflow.guidance", (3,)).unbind(1)  # [B] each
        share = 1 - 1 / scales(share, self.config.scale_max, self.config.scale_power)
        interval = shifted(torch.stack([start / 2, (1 + end) / 2], dim=1), self.flow.shift)  # [B, 2]
        interval = torch.where(has_interval[:, None], interval, interval.new_tensor([0.0, 1.0]))
        return with_extra(condition, torch.cat([share[:, None], interval], dim=1))

    def share(self, inputs: MeanFlowInputs) -> Tensor | None:
        """`1 - 1/w` [B] inside the closed interval, 0 outside."""
        guidance = at_instants(inputs.condition, inputs.times.t).extras.get(GUIDANCE)
        return None if guidance is None else guidance[:, 0]


def scales(uniform: Tensor, largest: float, power: float) -> Tensor:
    """Uniform numbers in [0, 1) -> scales w in [1, largest) with a density of `w^-power`, by its inverse integral:

    `(1 + x (largest^(1 - power) - 1))^(1 / (1 - power))`, and `largest^x` for a power of 1.
    """
    rest, span = 1 - power, math.log(largest)
    if rest == 0:
        return torch.exp(uniform * span)
    return torch.exp(torch.log1p(uniform * math.expm1(rest * span)) / rest)  # exact near a power of 1 too


class CFGConditioning:
    """Gives the network a scale and its interval as inputs: guidance without a second evaluation."""

    level = 1

    def __init__(self, config: CFGConditioningConfig):
        self.config = config

    def with_scale(self, scale: float) -> CFGConditioning:
        """The same guidance with another scale w. Raises ConfigError below 1: the network has not learnt it."""
        if scale < 1:
            raise ConfigError(
                f"The guidance scale of a CFG-conditioned network must be at least 1 (no guidance), got {scale}."
            )
        return CFGConditioning(evolve(self.config, scale=float(scale)))

    def wrap(self, velocity_fn: VelocityFn, null: Condition) -> VelocityFn:
        """The guided velocity."""
        numbers = (1 - 1 / self.config.scale, self.config.t_min, self.config.t_max)

        def guided(state: State, times: Times, condition: Condition) -> Prediction:
            guidance = torch.tensor(numbers, device=condition.tokens.device).expand(len(condition.tokens), -1)
            return velocity_fn(state, times, with_extra(condition, guidance))

        return guided
