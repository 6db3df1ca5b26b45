"""The objective `one-step`: a network that maps noise to data in one evaluation."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from nanogen_core.errors import NanoGenError
from nanogen_core.protocols import Network, VelocityFn
from nanogen_core.randomness import KeyedRNG
from nanogen_core.tensors import Condition, ForwardPass, Losses, Prediction, State, Times, per_sample


class OneStep:
    """A generator f(noise, c) on the straight path `x_t = (1 - t) data + t noise`.

    At t = 1 the network predicts the data f. The velocity is `(x_t - f) / t`, so the step from t = 1 to 0 returns f.
    """

    def loss(
        self, nets: Mapping[str, Network], clean: State, condition: Condition, null: Condition, rng: KeyedRNG
    ) -> Losses:
        """Return the mean of `(f(noise, c) - data)^2` for random noise.

        The best f is the mean of the data for each condition. The stage `drifting` does not use this loss.
        """
        noise = State(rng.normal("one-step.noise", clean.latent.shape[1:]))
        prediction, times = self.generate(nets["student"], noise, condition)
        error = (prediction.value.latent.float() - clean.latent.float()).square().mean()
        forward_pass = ForwardPass(
            noise, times, self.velocity(prediction, noise, times), prediction.value, noise, condition
        )
        return Losses(error, {"pairs": error.detach()}, forward_pass)

    def generate(self, net: Network, noise: State, condition: Condition) -> tuple[Prediction, Times]:
        """Run the network on noise, as a sampler does in its only step. Return the predicted data and the times."""
        ones = torch.ones(len(noise.latent), device=noise.latent.device)
        times = Times(ones, torch.zeros_like(ones))
        return net(noise, times, condition), times

    def interpolate(self, clean: State, noise: State, t: Tensor) -> State:
        """Return `x_t = (1 - t) data + t noise`."""
        return clean.map(lambda data, n: torch.lerp(data, n, per_sample(t, data).to(data.dtype)), noise)

    def path_velocity(self, clean: State, noise: State, t: Tensor) -> State:
        """Return `noise - data`."""
        return noise.map(torch.sub, clean)

    def velocity(self, prediction: Prediction, state: State, times: Times) -> Prediction:
        """Convert predicted data to velocities `(x_t - f) / t`."""

        def to_velocity(data: State) -> State:
            return state.map(lambda x, f: (x - f.to(x.dtype)) / per_sample(times.t, x).to(x.dtype), data)

        heads = {name: to_velocity(head) for name, head in prediction.heads.items()}
        return prediction._replace(value=to_velocity(prediction.value), heads=heads)

    def step(self, velocity_fn: VelocityFn, state: State, times: Times, condition: Condition) -> State:
        """Return `x_t - (t - r) v`, which is f for t = 1 and r = 0.

        Raises NanoGenError for t = 1 and r > 0, the first of several steps: the network was trained at t = 1 only.
        """
        t, r = times.numbers()
        if t == 1.0 and r > 0.0:
            raise NanoGenError("A one-step generator samples in one step: set the sampling steps to 1.")
        velocity = velocity_fn(state, times, condition).value
        span = times.t - times.r  # [B]
        return state.map(lambda x, v: (x - per_sample(span, x) * v).to(x.dtype), velocity)

    def grid(self, steps: int) -> Tensor:
        """Return uniform times from 1 to 0, float64 [steps + 1]."""
        return torch.linspace(1, 0, steps + 1, dtype=torch.float64)
