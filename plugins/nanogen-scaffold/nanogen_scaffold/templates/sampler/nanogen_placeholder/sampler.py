"""The midpoint method: x_r = x_t - (t - r) v, with v at the middle of the step. Second order."""

from __future__ import annotations

import torch
from nanogen_core.protocols import Objective, VelocityFn
from nanogen_core.randomness import KeyedRNG
from nanogen_core.sampling import intervals
from nanogen_core.tensors import Condition, State, Times

from nanogen_placeholder.config import PlaceholderConfig


class Placeholder:
    """Sampler that evaluates the velocity twice in each step."""

    def __init__(self, config: PlaceholderConfig):
        self.steps = config.steps

    @torch.no_grad()
    def sample(
        self,
        objective: Objective,
        velocity_fn: VelocityFn,
        noise: State,
        condition: Condition,
        steps: int,
        rng: KeyedRNG,
    ) -> State:
        """Integrate `noise` from t = 1 to t = 0. A stochastic sampler would draw its numbers from `rng`."""
        state = noise
        for times in intervals(objective.grid(steps), noise.latent):
            t, r = times.numbers()
            slope = velocity_fn(state, times.instant(), condition).value
            middle = advanced(state, slope, (t - r) / 2)
            between = torch.full_like(times.t, (t + r) / 2)
            slope = velocity_fn(middle, Times(between, between), condition).value
            state = advanced(state, slope, t - r)
        return state


def advanced(state: State, velocity: State, span: float) -> State:
    """Return the state at time t - `span`, given the state at time t and a constant velocity."""
    return state.map(lambda x, v: x - span * v, velocity)
