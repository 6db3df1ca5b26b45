"""Guidance that the network is told of: drawn at random in training, chosen at sampling (arXiv 2512.02012).

It is told the share 1 - 1/w of a scale w, and the interval of times in which w holds; elsewhere it is 1.
"""

from __future__ import annotations

import math

import torch
from attrs import evolve
from torch import Tensor

from nanogen_core.errors import ConfigError
from nanogen_core.protocols import Field
from nanogen_core.randomness import Draws
from nanogen_core.tensors import Condition, Prediction, State, Times
from nanogen_flow.times import shifted
from nanogen_meanflow.config import ToldGuidanceConfig, ToldMeanFlowConfig
from nanogen_meanflow.improved import Regression
from nanogen_meanflow.question import Question, at_instants


class ToldMeanFlow(Regression):
    """With another guidance for each sample: `v_g = v + (1 - 1/w) (u(z,t,t|c,w) - u(z,t,t|null))` for t in [a, b].

    w has the density `w^-scale_power` on [1, scale_max]; a is uniform in [0, 1/2] and b in [1/2, 1] before the shift
    that the times have too, [a, b] = [0, 1] where r = t. Own velocities are asked for under the scale that holds at t,
    in the whole of time, and so is du/dt's direction; those without condition under w = 1.
    """

    config: ToldMeanFlowConfig

    def told(self, condition: Condition, jumps: Tensor, rng: Draws) -> Condition:
        """The condition with the guidance that each sample is told of."""
        share, start, end = rng.uniform("meanflow.told", (3,)).unbind(1)  # [B] each
        share = 1 - 1 / scales(share, self.config.scale_max, self.config.scale_power)
        interval = shifted(torch.stack([start / 2, (1 + end) / 2], dim=1), self.flow.shift)  # [B, 2]
        interval = torch.where(jumps[:, None], interval, interval.new_tensor([0.0, 1.0]))
        return condition._replace(told=torch.cat([share[:, None], interval], dim=1))  # [B, 3]

    def share(self, question: Question) -> Tensor | None:
        """What is told, inside the closed interval; 0 outside."""
        told = at_instants(question.condition, question.times.t).told
        return None if told is None else told[:, 0]


def scales(uniform: Tensor, largest: float, power: float) -> Tensor:
    """Uniform numbers in [0, 1) -> scales w in [1, largest) with a density of `w^-power`, by its inverse integral:

    `(1 + x (largest^(1 - power) - 1))^(1 / (1 - power))`, and `largest^x` for a power of 1.
    """
    rest, span = 1 - power, math.log(largest)
    if rest == 0:
        return torch.exp(uniform * span)
    return torch.exp(torch.log1p(uniform * math.expm1(rest * span)) / rest)  # exact near a power of 1 too


class ToldGuidance:
    """Tells the network a scale and its interval: guidance without a further evaluation."""

    level = 1

    def __init__(self, config: ToldGuidanceConfig):
        self.config = config

    def with_scale(self, scale: float) -> ToldGuidance:
        """The same guidance with another scale w. Raises ConfigError below 1, of which the network learnt nothing."""
        if scale < 1:
            raise ConfigError(f"A scale of which the network is told must be at least 1 (no guidance), got {scale}.")
        return ToldGuidance(evolve(self.config, scale=float(scale)))

    def wrap(self, field: Field, null: Condition) -> Field:
        """The field under this guidance."""
        numbers = (1 - 1 / self.config.scale, self.config.t_min, self.config.t_max)

        def guided(state: State, times: Times, condition: Condition) -> Prediction:
            told = torch.tensor(numbers, device=condition.tokens.device).expand(len(condition.tokens), -1)  # [B, 3]
            return field(state, times, condition._replace(told=told))

        return guided
