"""Rectified flow (arXiv 2209.03003): x_t = (1 - t) data + t noise, and the network learns the velocity noise - data."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from nanogen_core.protocols import Network, VelocityFn
from nanogen_core.randomness import KeyedRNG
from nanogen_core.specs import LatentSpec
from nanogen_core.tensors import Condition, ForwardPass, Losses, Prediction, State, Times, per_sample
from nanogen_flow.config import FlowConfig
from nanogen_flow.times import logit_normal, sampling_grid, shifted


class Flow:
    """The flow-matching objective. The loss is on velocities, whatever the network predicts.

    Velocities of data near t = 0 are damped: they are divided by max(t, t_eps), in targets and predictions alike.
    """

    def __init__(self, config: FlowConfig, *, latent: LatentSpec):
        self.config = config
        self.latent = latent
        self.shift = latent.time_shift if config.shift is None else config.shift
        self.sample_shift = self.shift if config.sample_shift is None else config.sample_shift
        self._to_velocity = {"velocity": _as_it_is, "x": self.target_velocity}[config.prediction]

    def loss(
        self,
        nets: Mapping[str, Network],
        clean: State,
        condition: Condition,
        null: Condition,
        rng: KeyedRNG,
    ) -> Losses:
        """The batch mean of the weighted losses of `nets["student"]` at times and noise drawn from `rng`."""
        forward_pass = self.forward_at(nets["student"], clean, self.noise(rng), self.times(rng), condition)
        means = {name: values.mean() for name, values in self.errors(forward_pass, clean).items()}
        total = torch.stack([self._weight(name) * mean for name, mean in means.items()]).sum()
        return Losses(total, {name: mean.detach() for name, mean in means.items()}, forward_pass)

    def forward_at(self, net: Network, clean: State, noise: State, t: Tensor, condition: Condition) -> ForwardPass:
        """One forward pass of the network at given noise and times `t` [B], its prediction as a velocity."""
        state, times = interpolate(clean, noise, t), Times(t, t)
        predicted = self.velocity(net(state, times, condition), state, times)
        return ForwardPass(state, times, predicted, self.denoised(predicted.value, state, t))

    def errors(self, forward_pass: ForwardPass, clean: State) -> dict[str, Tensor]:
        """The squared error of the velocity, a mean for each sample: [B] by name.

        `flow` is of the latent, `cls_token` of the class token where there is one, others of the network's heads.
        """
        predicted, target = (
            forward_pass.prediction,
            self.target_velocity(clean, forward_pass.state, forward_pass.times.t),
        )
        losses = {"flow": _squared_error(predicted.value.latent, target.latent)}
        if predicted.value.cls_token is not None and target.cls_token is not None:
            losses["cls_token"] = _squared_error(predicted.value.cls_token, target.cls_token)
        heads = {name: _squared_error(head.latent, target.latent) for name, head in predicted.heads.items()}
        return losses | heads

    def losses_at(self, net: Network, clean: State, noise: State, t: Tensor, condition: Condition) -> dict[str, Tensor]:
        """`errors` at given noise and times `t` [B]."""
        return self.errors(self.forward_at(net, clean, noise, t, condition), clean)

    def denoised(self, velocity: State, state: State, t: Tensor) -> State:
        """The data that a velocity at `t` [B] points to: `x_t - max(t, t_eps) v`, the inverse of `target_velocity`."""
        span = t.clamp(min=self.config.t_eps)
        return state.map(lambda x, v: x - per_sample(span, x).to(x.dtype) * v, velocity)

    def loss_at(self, net: Network, clean: State, noise: State, t: Tensor, condition: Condition) -> Tensor:
        """The loss of the latent alone, a mean over C, h, w for each sample: [B]."""
        return self.losses_at(net, clean, noise, t, condition)["flow"]

    def velocity(self, prediction: Prediction, state: State, times: Times) -> Prediction:
        """The prediction and those of its heads as velocities in the dtype of the state."""
        value = self._to_velocity(prediction.value, state, times.t)
        heads = {name: self._to_velocity(head, state, times.t) for name, head in prediction.heads.items()}
        return prediction._replace(value=value, heads=heads)

    def step(self, velocity_fn: VelocityFn, state: State, times: Times, condition: Condition) -> State:
        """One Euler step from `times.t` to `times.r`: `x - (t - r) v`."""
        velocity = velocity_fn(state, times, condition).value
        span = times.t - times.r  # [B]
        return state.map(lambda x, v: x - per_sample(span, x).to(x.dtype) * v, velocity)

    def grid(self, steps: int) -> Tensor:
        """The times of a sampling run, float64 [steps + 1], falling from 1 to 0."""
        return sampling_grid(steps, self.sample_shift)

    def times(self, rng: KeyedRNG) -> Tensor:
        """Training times [B]: logit-normal, then shifted."""
        drawn = logit_normal(rng.normal("time", ()), self.config.time_mean, self.config.time_std)
        return shifted(drawn, self.shift)

    def noise(self, rng: KeyedRNG) -> State:
        """The state at t = 1."""
        latent = rng.normal("noise", self.latent.shape)  # [B, C, h, w]
        if not self.latent.cls_token_width:
            return State(latent)
        return State(latent, rng.normal("token-noise", (self.latent.cls_token_width,)))

    def target_velocity(self, data: State, state: State, t: Tensor) -> State:
        """The damped velocity `(x_t - data) / max(t, t_eps)` that leads from the state at `t` [B] to the data."""
        span = t.clamp(min=self.config.t_eps)
        # a head has no class token: the state's is then left out
        here = state if data.cls_token is not None else State(state.latent)
        return here.map(lambda x, d: (x - d) / per_sample(span, x).to(x.dtype), data)

    def _weight(self, name: str) -> float:
        weights = {"flow": 1.0, "cls_token": self.config.cls_token_weight}
        return weights.get(name, self.config.internal_weight)


def interpolate(clean: State, noise: State, t: Tensor) -> State:
    """`x_t = (1 - t) data + t noise` at times `t` [B]."""
    return clean.map(lambda data, n: torch.lerp(data, n, per_sample(t, data).to(data.dtype)), noise)


def _as_it_is(prediction: State, state: State, t: Tensor) -> State:
    return prediction.map(lambda velocity: velocity.to(state.latent.dtype))


def _squared_error(predicted: Tensor, target: Tensor) -> Tensor:
    """The mean over all but the batch, in float32: [B]."""
    return (predicted.float() - target.float()).square().flatten(1).mean(dim=1)
