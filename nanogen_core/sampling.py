"""Euler and Heun samplers, and `velocity_field`, which turns a network into the function that they integrate."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor

from nanogen_core.protocols import Objective, VelocityFn
from nanogen_core.randomness import KeyedRNG
from nanogen_core.settings import SamplerConfig
from nanogen_core.tensors import Condition, Prediction, SharedTimes, State, Times


class Euler:
    """First-order sampler: calls `objective.step` between successive times of `objective.grid`.

    For flow matching this is Euler's method, x_r = x_t - (t - r) v; MeanFlow jumps by its average velocity.

    Example:
        `Euler(SamplerConfig()).sample(objective, velocity_field(objective, net), noise, condition, steps, rng)`
    """

    def __init__(self, config: SamplerConfig):
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
        """Integrate from `noise` (t = 1) to t = 0 in `steps` steps and return the state. Draws no random numbers."""
        state = noise
        for times in intervals(objective.grid(steps), noise.latent):
            state = self._step(objective, velocity_fn, state, times, condition)
        return state

    def _step(
        self, objective: Objective, velocity_fn: VelocityFn, state: State, times: Times, condition: Condition
    ) -> State:
        return objective.step(velocity_fn, state, times, condition)


class Heun(Euler):
    """Heun's second-order sampler (EDM, arXiv 2206.00364, algorithm 1): x_r = x_t - (t - r) (v_t + v_r) / 2.

    The last step, to t = 0, is an Euler step. All steps before it evaluate the velocity twice.
    """

    def _step(
        self, objective: Objective, velocity_fn: VelocityFn, state: State, times: Times, condition: Condition
    ) -> State:
        t, r = times.numbers()
        span = t - r
        start = velocity_fn(state, times.instant(), condition).value
        euler = state.map(lambda x, v: x - span * v, start)
        if r == 0.0:
            return euler
        end = velocity_fn(euler, SharedTimes.of(times.r, times.r, (r, r)), condition).value
        return state.map(lambda x, v, w: x - span * (v + w) / 2, start, end)


def intervals(grid: Tensor, like: Tensor) -> Iterator[Times]:
    """Yield the steps of a grid [steps + 1] as `Times` [B], from noise to data, on the device of `like` [B, ...]."""
    points = grid.to(torch.float32).tolist()
    size = (like.shape[0],)
    for t, r in pairwise(points):
        of_t, of_r = (torch.full(size, time, device=like.device) for time in (t, r))
        yield SharedTimes.of(of_t, of_r, (t, r))


def network_inputs(objective: Objective, state: State, times: Times) -> tuple[State, Times]:
    """Return the inputs of the network: `objective.network_inputs(state, times)` if defined, else (state, times)."""
    scaled: tuple[State, Times] = getattr(objective, "network_inputs", lambda *inputs: inputs)(state, times)
    return scaled


def velocity_field(objective: Objective, net: torch.nn.Module) -> VelocityFn:
    """Return a function that evaluates `net` and converts its prediction and heads to float32 velocities.

    Samplers and guidance call it: `velocity_field(objective, net)(state, times, condition).value`.
    """

    def velocity_fn(state: State, times: Times, condition: Condition) -> Prediction:
        prediction = objective.velocity(net(*network_inputs(objective, state, times), condition), state, times)
        return Prediction(_float32(prediction.value), heads={n: _float32(v) for n, v in prediction.heads.items()})

    return velocity_fn


def _float32(state: State) -> State:
    return state.map(lambda x: x.float())
