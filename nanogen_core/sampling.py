"""From noise to latents: one walk over a grid of times, the same for every method. The state stays float32."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor

from nanogen_core.protocols import Objective, VelocityFn
from nanogen_core.settings import SamplerConfig
from nanogen_core.tensors import Condition, Prediction, State, Times


class Euler:
    """The objective's own step from time to time: x <- x - (t - r) v for flows, one jump for average velocities."""

    def __init__(self, config: SamplerConfig):
        self.config = config

    @torch.no_grad()
    def sample(
        self,
        objective: Objective,
        velocity_fn: VelocityFn,
        noise: State,
        condition: Condition,
        steps: int | None = None,
    ) -> State:
        """The state at t = 0, from `noise` at t = 1, in `steps` steps (None: as configured)."""
        state = noise
        for times in intervals(objective.grid(steps or self.config.steps), noise.latent):
            state = objective.step(velocity_fn, state, times, condition)
        return state


class Heun:
    """Heun's second-order step: the mean of the velocities at both ends; the last step, which ends at t = 0, is Euler's
    (as in EDM, arXiv 2206.00364, algorithm 1)."""

    def __init__(self, config: SamplerConfig):
        self.config = config

    @torch.no_grad()
    def sample(
        self,
        objective: Objective,
        velocity_fn: VelocityFn,
        noise: State,
        condition: Condition,
        steps: int | None = None,
    ) -> State:
        """The state at t = 0, from `noise` at t = 1, in `steps` steps of two evaluations (None: as configured)."""
        state = noise
        grid = objective.grid(steps or self.config.steps)
        for times in intervals(grid, noise.latent):
            state = self._step(velocity_fn, state, times, condition)
        return state

    def _step(self, velocity_fn: VelocityFn, state: State, times: Times, condition: Condition) -> State:
        span = float(times.t[0] - times.r[0])
        start = velocity_fn(state, Times(times.t, times.t), condition).value
        arrived = state.map(lambda x, v: x - span * v, start)
        if float(times.r[0]) == 0.0:
            return arrived
        end = velocity_fn(arrived, Times(times.r, times.r), condition).value
        return state.map(lambda x, v, w: x - span * (v + w) / 2, start, end)


def intervals(grid: Tensor, like: Tensor) -> Iterator[Times]:
    """The steps of a grid [steps + 1] as times [B] on the device of `like` [B, ...], from noise to data."""
    points = grid.to(torch.float32).tolist()
    size = (like.shape[0],)
    for t, r in pairwise(points):
        yield Times(torch.full(size, t, device=like.device), torch.full(size, r, device=like.device))


def velocity_field(objective: Objective, net: torch.nn.Module) -> VelocityFn:
    """The network seen by guidance and samplers: whatever it predicts, as velocities in float32."""

    def velocity_fn(state: State, times: Times, condition: Condition) -> Prediction:
        prediction = objective.velocity(net(state, times, condition), state, times)
        return Prediction(_float32(prediction.value), heads={n: _float32(v) for n, v in prediction.heads.items()})

    return velocity_fn


def _float32(state: State) -> State:
    return state.map(lambda x: x.float())
