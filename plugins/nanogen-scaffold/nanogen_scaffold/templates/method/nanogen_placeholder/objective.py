"""Flow matching on the straight path x_t = (1 - t) data + t noise (arXiv 2209.03003)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from nanogen_core.protocols import Network, VelocityFn
from nanogen_core.randomness import KeyedRNG
from nanogen_core.tensors import Condition, ForwardPass, Losses, Prediction, State, Times, per_sample
from torch import Tensor

from nanogen_placeholder.config import PlaceholderConfig


class Placeholder:
    """The network predicts the velocity v = noise - data.

    The loss is the mean of (v_predicted - v)^2. Each additional head adds the same loss on its prediction.
    """

    def __init__(self, config: PlaceholderConfig):
        self.config = config

    def loss(
        self, nets: Mapping[str, Network], clean: State, condition: Condition, null: Condition, rng: KeyedRNG
    ) -> Losses:
        """Return the loss of `nets["student"]` at random times, and the forward pass for auxiliary losses."""
        t = torch.sigmoid(self.config.time_mean + self.config.time_std * rng.normal("time", ()))  # [B]
        noise = clean.map(lambda x: rng.normal(f"noise.{x.ndim}", x.shape[1:]))
        state, times = self.interpolate(clean, noise, t), Times(t, t)
        prediction = nets["student"](state, times, condition)
        target = self.path_velocity(clean, noise, t)
        errors = {"velocity": squared_error(prediction.value, target)}
        errors |= {name: squared_error(head, target) for name, head in prediction.heads.items()}
        denoised = state.map(lambda x, v: x - per_sample(t, x) * v, prediction.value)
        forward_pass = ForwardPass(state, times, prediction, denoised, noise, condition)
        parts = {name: error.detach() for name, error in errors.items()}
        return Losses(torch.stack([*errors.values()]).sum(), parts, forward_pass)

    def interpolate(self, clean: State, noise: State, t: Tensor) -> State:
        """Return x_t = (1 - t) data + t noise."""
        return clean.map(lambda x, n: (1 - per_sample(t, x)) * x + per_sample(t, x) * n, noise)

    def path_velocity(self, clean: State, noise: State, t: Tensor) -> State:
        """Return dx/dt = noise - data."""
        return noise.map(torch.sub, clean)

    def velocity(self, prediction: Prediction, state: State, times: Times) -> Prediction:
        """Return the prediction: it is a velocity already."""
        return prediction

    def step(self, velocity_fn: VelocityFn, state: State, times: Times, condition: Condition) -> State:
        """Take one Euler step from t to r."""
        velocity = velocity_fn(state, times, condition).value
        return state.map(lambda x, v: x - per_sample(times.t - times.r, x) * v, velocity)

    def grid(self, steps: int) -> Tensor:
        """Return equally spaced sampling times, float64 [steps + 1]."""
        return torch.linspace(1, 0, steps + 1, dtype=torch.float64)


def squared_error(predicted: State, target: State) -> Tensor:
    """Return the mean squared error [] of the latents, plus the error of the class tokens (REG) if there are any."""
    errors = predicted.map(lambda v, u: (v.float() - u).square(), target)
    return torch.stack([error.mean() for error in errors if error is not None]).sum()
