"""Minimal flow matching: the network predicts noise - data on the straight path between them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from attrs import frozen
from torch import Tensor, nn

from nanogen_core.protocols import VelocityFn
from nanogen_core.randomness import KeyedRNG
from nanogen_core.tensors import Condition, ForwardPass, Losses, Prediction, State, Times, per_sample


@frozen(kw_only=True)
class TinyFlowConfig:
    """Options of TinyFlow. Training times are uniform in [`earliest`, 1]."""

    earliest: float = 0.05


class TinyFlow:
    """Rectified flow (arXiv 2209.03003): mean squared velocity error, Euler steps, uniform sampling times."""

    def __init__(self, config: TinyFlowConfig):
        self.config = config

    def loss(
        self, nets: Mapping[str, nn.Module], clean: State, condition: Condition, null: Condition, rng: KeyedRNG
    ) -> Losses:
        """Return the mean of (v - (noise - data))^2 over batch and latent, where v is the prediction."""
        t = self.config.earliest + (1 - self.config.earliest) * rng.uniform("time")  # [B]
        noise = clean.map(lambda x: rng.normal(f"noise.{x.ndim}", x.shape[1:]))
        state, times = self.interpolate(clean, noise, t), Times(t, t)
        prediction: Prediction = nets["student"](state, times, condition)
        error = (prediction.value.latent - (noise.latent - clean.latent)).square().mean()
        denoised = state.map(lambda x, v: x - per_sample(t, x) * v, prediction.value)
        forward_pass = ForwardPass(state, times, prediction, denoised, noise, condition)
        return Losses(error, {"velocity": error.detach()}, forward_pass)

    def interpolate(self, clean: State, noise: State, t: Tensor) -> State:
        """Return (1 - t) clean + t noise."""
        return clean.map(lambda x, n: torch.lerp(x, n, per_sample(t, x)), noise)

    def path_velocity(self, clean: State, noise: State, t: Tensor) -> State:
        """Return noise - clean."""
        return noise.map(torch.sub, clean)

    def velocity(self, prediction: Prediction, state: State, times: Times) -> Prediction:
        """Return the prediction, which is a velocity already."""
        return prediction

    def step(self, velocity_fn: VelocityFn, state: State, times: Times, condition: Condition) -> State:
        """Take one Euler step from t to r."""
        velocity = velocity_fn(state, times, condition).value
        return state.map(lambda x, v: x - per_sample(times.t - times.r, x) * v, velocity)

    def grid(self, steps: int) -> Tensor:
        """Return uniform times from 1 to 0, float64 [steps + 1]."""
        return torch.linspace(1, 0, steps + 1, dtype=torch.float64)
