"""Sampler of consistency models: jump to the data, add noise, jump again."""

from __future__ import annotations

import torch

from nanogen_consistency.config import ConsistencySamplerConfig
from nanogen_core.protocols import Objective, VelocityFn
from nanogen_core.randomness import KeyedRNG
from nanogen_core.sampling import intervals
from nanogen_core.tensors import Condition, State


class ConsistencySampler:
    """Multistep sampling of consistency models (arXiv 2303.01469, Algorithm 1).

    Each step evaluates the network once. It jumps from time t to the data (`objective.step` to r = 0), and the next
    step starts at `interpolate(data, fresh noise, t)` with a smaller t. Sampling in one step draws no random numbers.

    Args:
        config: Options of the sampler.
    """

    def __init__(self, config: ConsistencySamplerConfig):
        self.config = config
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
        """Return the state at t = 0 after `steps` jumps. The first starts at `noise`; the others draw new noise."""
        state = noise
        for number, t in enumerate(self._starts(objective, steps)):
            if number:
                fresh = state.map(lambda x, n=number: rng.normal(f"consistency.{n}.{x.ndim}", x.shape[1:]).to(x.device))
                state = objective.interpolate(state, fresh, torch.full((len(state.latent),), t).to(state.latent.device))
            jump = next(intervals(torch.tensor([t, 0.0], dtype=torch.float64), state.latent))
            state = objective.step(velocity_fn, state, jump, condition)
        return state

    def _starts(self, objective: Objective, steps: int) -> list[float]:
        """Return the times at which the jumps start, from 1."""
        if steps == len(self.config.times) + 1:
            return [1.0, *self.config.times]
        return [float(t) for t in objective.grid(steps)[:-1]]
