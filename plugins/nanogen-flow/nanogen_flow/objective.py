"""Rectified flow (arXiv 2209.03003): `x_t = (1 - t) data + t noise` with the target velocity `noise - data`."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from nanogen_core.protocols import Network, VelocityFn
from nanogen_core.randomness import KeyedRNG
from nanogen_core.specs import LatentSpec
from nanogen_core.tensors import Condition, ForwardPass, Losses, Prediction, State, Times, per_sample
from nanogen_flow.config import FlowConfig
from nanogen_flow.times import logit_normal, sampling_grid, shifted, uniform


class Flow:
    """Flow matching. The loss compares velocities for every kind of `prediction`.

    The target is `v = (x_t - data) / max(t, t_eps)`. For t >= t_eps this is `noise - data`, for t < t_eps it is
    `(t / t_eps) (noise - data)`. A predicted x becomes a velocity by the same formula.

    Args:
        config: Options of the objective.
        latent: Shape of the latents. It gives the default time shift.

    Example:
        >>> flow = Flow(FlowConfig(), latent=LatentSpec(4, 32, 32))
        >>> flow.loss({"student": backbone}, State(latents), condition, null, KeyedRNG(0, range(len(latents))))
    """

    def __init__(self, config: FlowConfig, *, latent: LatentSpec):
        self.config = config
        self.latent = latent
        self.shift = latent.time_shift if config.shift is None else config.shift
        self.sample_shift = self.shift if config.sample_shift is None else config.sample_shift
        self._to_velocity = {"velocity": _cast, "x": self.target_velocity}[config.prediction]

    def loss(
        self,
        nets: Mapping[str, Network],
        clean: State,
        condition: Condition,
        null: Condition,
        rng: KeyedRNG,
    ) -> Losses:
        """Compute the loss of `nets["student"]` at random times and noise.

        Args:
            nets: The networks by role. Only "student" is used.
            clean: Data: latents [B, C, h, w], and class tokens [B, D] for REG.
            condition: Conditions of the batch. Rows may be null.
            null: Unused: the loss needs no unconditional prediction.
            rng: Random numbers of times and noise, one slot per sample.

        Returns:
            The total loss, the batch means of `errors` by name, and the forward pass. The total is the weighted sum of
            these means.
        """
        forward_pass = self.forward_at(nets["student"], clean, self.noise(rng), self.times(rng), condition)
        means = {name: values.mean() for name, values in self.errors(forward_pass, clean).items()}
        total = torch.stack([self._weight(name) * mean for name, mean in means.items()]).sum()
        return Losses(total, {name: mean.detach() for name, mean in means.items()}, forward_pass)

    def forward_at(self, net: Network, clean: State, noise: State, t: Tensor, condition: Condition) -> ForwardPass:
        """Run the network at given noise and times `t` ([B], or [B, N] per image token).

        The result contains the prediction as a velocity.
        """
        state, times = self.interpolate(clean, noise, t), Times(t, t)
        predicted = self.velocity(net(state, times, condition), state, times)
        return ForwardPass(state, times, predicted, self.denoised(predicted.value, state, t), noise, condition)

    def errors(self, forward_pass: ForwardPass, clean: State) -> dict[str, Tensor]:
        """Return the mean squared velocity error of each sample [B], by name.

        `flow` is the error of the latent, `cls_token` the error of the class token (REG only). Each additional head of
        the network adds the error of its latent under the head's name.
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
        """Return `errors` at given noise and times `t` ([B], or [B, N] per image token)."""
        return self.errors(self.forward_at(net, clean, noise, t, condition), clean)

    def denoised(self, velocity: State, state: State, t: Tensor) -> State:
        """Return the data that a velocity v predicts: `x_t - max(t, t_eps) v`. Inverts `target_velocity`.

        `t` is one time per sample [B] or per image token [B, N].
        """
        damped_t = t.clamp(min=self.config.t_eps)
        return state.map(lambda x, v: x - per_sample(damped_t, x).to(x.dtype) * v, velocity)

    def loss_at(self, net: Network, clean: State, noise: State, t: Tensor, condition: Condition) -> Tensor:
        """Return the latent's error of each sample [B], averaged over C, h, w. Excludes class token and heads."""
        return self.losses_at(net, clean, noise, t, condition)["flow"]

    def interpolate(self, clean: State, noise: State, t: Tensor) -> State:
        """Return `x_t = (1 - t) data + t noise`. `t` is one time per sample [B] or per image token [B, N]."""
        return clean.map(lambda data, n: torch.lerp(data, n, per_sample(t, data).to(data.dtype)), noise)

    def path_velocity(self, clean: State, noise: State, t: Tensor) -> State:
        """Return `noise - data`. It does not depend on `t`."""
        return noise.map(torch.sub, clean)

    def velocity(self, prediction: Prediction, state: State, times: Times) -> Prediction:
        """Convert the prediction and its heads to velocities in the dtype of the state."""
        value = self._to_velocity(prediction.value, state, times.t)
        heads = {name: self._to_velocity(head, state, times.t) for name, head in prediction.heads.items()}
        return prediction._replace(value=value, heads=heads)

    def step(self, velocity_fn: VelocityFn, state: State, times: Times, condition: Condition) -> State:
        """Take one Euler step from `times.t` to `times.r`: `x - (t - r) v`."""
        velocity = velocity_fn(state, times, condition).value
        h = times.t - times.r  # [B]
        return state.map(lambda x, v: x - per_sample(h, x).to(x.dtype) * v, velocity)

    def grid(self, steps: int) -> Tensor:
        """Return the float64 sampling times [steps + 1] from 1 to 0: a uniform grid, shifted by `sample_shift`."""
        return sampling_grid(steps, self.sample_shift)

    def times(self, rng: KeyedRNG) -> Tensor:
        """Draw training times [B]: logit-normal or uniform, then shifted."""
        return self.times_of(rng.normal("time", ()))

    def times_of(self, normal: Tensor) -> Tensor:
        """Map standard normal numbers to training times, elementwise."""
        mean, std = self.config.time_mean, self.config.time_std
        return shifted(uniform(normal) if mean is None else logit_normal(normal, mean, std), self.shift)

    def noise(self, rng: KeyedRNG) -> State:
        """Draw the state at t = 1: standard normal numbers for the latent, and for the class token (REG)."""
        latent = rng.normal("noise", self.latent.shape)  # [B, C, h, w]
        if not self.latent.cls_token_width:
            return State(latent)
        return State(latent, rng.normal("token-noise", (self.latent.cls_token_width,)))

    def target_velocity(self, data: State, state: State, t: Tensor) -> State:
        """Return the damped velocity `(x_t - data) / max(t, t_eps)` of the state x_t.

        `t` is one time per sample [B] or per image token [B, N]. The result has a class token if `data` has one.
        Predictions of additional heads have no class token.
        """
        damped_t = t.clamp(min=self.config.t_eps)
        x_t = state if data.cls_token is not None else State(state.latent)
        return x_t.map(lambda x, d: (x - d) / per_sample(damped_t, x).to(x.dtype), data)

    def _weight(self, name: str) -> float:
        weights = {"flow": 1.0, "cls_token": self.config.cls_token_weight}
        return weights.get(name, self.config.internal_weight)


def _cast(prediction: State, state: State, t: Tensor) -> State:
    return prediction.map(lambda velocity: velocity.to(state.latent.dtype))


def _squared_error(predicted: Tensor, target: Tensor) -> Tensor:
    """Mean over all axes but the batch, in float32: [B]."""
    return (predicted.float() - target.float()).square().flatten(1).mean(dim=1)
