"""MeanFlow networks with the guidance as an input (Improved MeanFlow, arXiv 2512.02012).

The backbone reads `Condition.extras["guidance"]` [B, 3] with the columns 1 - 1/w, t_min and t_max. The guidance scale
is w for t in [t_min, t_max] and 1 at other times.
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
from nanogen_meanflow.improved import ImprovedMeanFlowBase
from nanogen_meanflow.inputs import GUIDANCE, MeanFlowInputs, instantaneous, set_guidance


class CFGConditionedMeanFlow(ImprovedMeanFlowBase):
    """Improved MeanFlow with random guidance for each training sample.

    The target is `v_g = v + (1 - 1/w) (u(z, t, t | c, w) - u(z, t, t | null))` for t in [t_min, t_max], else v.

    - w has a density proportional to `w^-scale_power` on [1, scale_max].
    - t_min is uniform in [0, 1/2] and t_max in [1/2, 1]. Both are then shifted like the times. Samples with r = t have
      t_min = 0 and t_max = 1.
    - u(z, t, t | c, w) is evaluated with the scale at t and the interval [0, 1]. It is also the direction of du/dt.
    - u(z, t, t | null) is evaluated with w = 1.

    Args:
        config: Options of the objective.
        latent: Shape of the latents. It must have no class token.
    """

    config: CFGConditionedMeanFlowConfig

    def with_guidance(self, condition: Condition, has_interval: Tensor, rng: KeyedRNG) -> Condition:
        """Return `condition` with random guidance for each sample."""
        uniform, start, end = rng.uniform("meanflow.guidance", (3,)).unbind(1)  # [B] each
        fraction = 1 - 1 / sample_scales(uniform, self.config.scale_max, self.config.scale_power)
        interval = shifted(torch.stack([start / 2, (1 + end) / 2], dim=1), self.flow.shift)  # [B, 2]
        interval = torch.where(has_interval[:, None], interval, interval.new_tensor([0.0, 1.0]))
        return set_guidance(condition, torch.cat([fraction[:, None], interval], dim=1))

    def guidance_fraction(self, inputs: MeanFlowInputs) -> Tensor | None:
        """Return `1 - 1/w` [B] for t in [t_min, t_max], 0 elsewhere. None if the condition has no guidance."""
        guidance = instantaneous(inputs.condition, inputs.times.t).extras.get(GUIDANCE)
        return None if guidance is None else guidance[:, 0]


def sample_scales(uniform: Tensor, scale_max: float, power: float) -> Tensor:
    """Map uniform numbers x in [0, 1) to scales w in [1, scale_max) with a density proportional to `w^-power`.

    The inverse of the cumulative distribution is `(1 + x (scale_max^(1 - power) - 1))^(1 / (1 - power))`, and
    `scale_max^x` for a power of 1.
    """
    exponent, log_max = 1 - power, math.log(scale_max)
    if exponent == 0:
        return torch.exp(uniform * log_max)
    return torch.exp(torch.log1p(uniform * math.expm1(exponent * log_max)) / exponent)  # stable near a power of 1


class CFGConditioning:
    """Guidance that sets the scale and interval inputs of the network. It needs no second evaluation.

    Args:
        config: The scale w and its interval of times.
    """

    level = 1

    def __init__(self, config: CFGConditioningConfig):
        self.config = config

    def with_scale(self, scale: float) -> CFGConditioning:
        """Return the same guidance with another scale w. Raises ConfigError for w < 1: training uses only w >= 1."""
        if scale < 1:
            raise ConfigError(
                f"The guidance scale of a CFG-conditioned network must be at least 1 (no guidance), got {scale}."
            )
        return CFGConditioning(evolve(self.config, scale=float(scale)))

    def wrap(self, velocity_fn: VelocityFn, null: Condition) -> VelocityFn:
        """Return a function that sets the condition's guidance inputs and calls `velocity_fn`. `null` is unused."""
        numbers = (1 - 1 / self.config.scale, self.config.t_min, self.config.t_max)

        def guided(state: State, times: Times, condition: Condition) -> Prediction:
            columns = [torch.full_like(times.t, number) for number in numbers]
            return velocity_fn(state, times, set_guidance(condition, torch.stack(columns, dim=1)))

        return guided
