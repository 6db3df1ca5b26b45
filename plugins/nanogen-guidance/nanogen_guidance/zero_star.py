"""CFG-Zero*: classifier-free guidance with an optimized scale and zero-init."""

from __future__ import annotations

import torch
from attrs import define, evolve
from torch import Tensor

from nanogen_core.errors import Incompatible
from nanogen_core.guidance import branches
from nanogen_core.protocols import Objective, VelocityFn
from nanogen_core.tensors import Condition, Prediction, State, Times, per_sample
from nanogen_guidance.config import CFGZeroStarConfig
from nanogen_samplers.path import is_straight

SMALL = 1e-8  # added to |v_u|^2, as in the published code


class CFGZeroStar:
    """CFG-Zero* (Fan et al., arXiv 2503.18886): v = k v_u + w (v_c - k v_u) with k = <v_c, v_u> / |v_u|^2.

    v_c and v_u are the conditional and unconditional velocities. The optimized scale k of a sample makes k v_u the
    projection of v_c on v_u. A class token (REG) has its own k. The velocity is zero at the first `zero_steps` times of
    a sampling run (zero-init), without an evaluation. With Euler's method these are the first steps. Heun's method also
    evaluates the end of a step: with `zero_steps` = 1, its first step is half a step with the velocity at its end.

    Guidance applies to each evaluation at a time t with t_min <= t <= t_max. Zero-init does not depend on this
    interval. For w = 1, the result is v_c, without zero-init.

    Args:
        config: Scale, zero-init and interval.
        objective: The objective of the guided pipeline.

    Raises:
        Incompatible: `zero_steps` is not 0, and the path of the objective is not x_t = (1 - t) data + t noise. On other
            paths a state that stays has the variance of another time.
    """

    level = 1

    def __init__(self, config: CFGZeroStarConfig, *, objective: Objective):
        if config.zero_steps and not is_straight(objective):
            raise Incompatible(
                "guidance.cfg-zero-star: zero-init needs the path x_t = (1 - t) data + t noise, and this objective has"
                " another one. Set `guidance.cfg-zero-star.zero_steps: 0`."
            )
        self.config = config
        self.objective = objective

    def with_scale(self, scale: float) -> CFGZeroStar:
        """Return this guidance with another scale w."""
        return CFGZeroStar(evolve(self.config, scale=float(scale)), objective=self.objective)

    def wrap(self, velocity_fn: VelocityFn, null: Condition) -> VelocityFn:
        """Return the guided velocity function of one sampling run. A guided call evaluates 2B rows at once."""
        progress = Progress()

        def guided(state: State, times: Times, condition: Condition) -> Prediction:
            scale = self.config.scale
            if scale == 1.0:
                return velocity_fn(state, times, condition)
            if progress.number(times.numbers()[0]) < self.config.zero_steps:
                return Prediction(state.map(torch.zeros_like))
            if not times.start_in(self.config.t_min, self.config.t_max):
                return velocity_fn(state, times, condition)
            conditional, unconditional = branches(velocity_fn, state, times, condition, null)
            return Prediction(conditional.map(lambda c, u: _guided(c, u, scale), unconditional))

        return guided


@define
class Progress:
    """Counts the distinct times of a sampling run, which fall from 1 to 0.

    A time above the previous one starts a new run.
    """

    time: float = 2.0
    count: int = -1

    def number(self, t: float) -> int:
        """Return how many distinct times of the run were passed before t."""
        if t != self.time:
            self.count = self.count + 1 if t < self.time else 0
            self.time = t
        return self.count


def _guided(conditional: Tensor, unconditional: Tensor, scale: float) -> Tensor:
    scaled = per_sample(_projection(conditional, unconditional), unconditional) * unconditional
    return scaled + scale * (conditional - scaled)


def _projection(vector: Tensor, on: Tensor) -> Tensor:
    """Return <vector, on> / |on|^2 of each sample: [B]."""
    vector, on = vector.flatten(1), on.flatten(1)
    return (vector * on).sum(dim=1) / (on.square().sum(dim=1) + SMALL)
