"""TrigFlow (Lu and Song, arXiv 2410.11081): diffusion on the arc `x_t = cos(t) data + sin(t) noise`."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from nanogen_consistency.config import TrigFlowConfig
from nanogen_consistency.weight import AdaptiveWeight
from nanogen_core.protocols import Network, VelocityFn
from nanogen_core.randomness import KeyedRNG
from nanogen_core.specs import LatentSpec
from nanogen_core.tensors import Condition, ForwardPass, Losses, Prediction, State, Times, per_sample

QUARTER = math.pi / 2  # the angle at time 1
SIGMA_DATA = 0.5  # standard deviation of the paper's data, to which its noise levels and constants refer
PIXEL_STD = 0.5  # of images in [-1, 1]


class TrigFlow(nn.Module):
    """Diffusion on an arc: `x_a = cos(a) data + sin(a) z` with the angle a = t pi / 2 and `z ~ N(0, sigma_d^2)`.

    The network F receives `x_a / sigma_d` and the angle a. `sigma_d F` predicts the derivative
    `dx/da = cos(a) z - sin(a) data`, so that `D = cos(a) x_a - sin(a) sigma_d F` predicts the data.

    The loss is `exp(w(a)) |F - (dx/da) / sigma_d|^2 - w(a)` with a learned function w. The square is a mean over the
    latent. Training angles are `arctan(sigma / 0.5)` with `ln(sigma) ~ N(level_mean, level_std^2)`.

    Args:
        config: Options of the objective.
        latent: Shape of the latents. It gives the default of sigma_d.

    Attributes:
        std: sigma_d, the standard deviation of the latents.
        weight: The learned function w. None without `adaptive_weight`.
    """

    name = "trigflow"

    def __init__(self, config: TrigFlowConfig, *, latent: LatentSpec):
        super().__init__()
        self.config = config
        self.latent = latent
        default = PIXEL_STD if latent.factor == 1 else 1.0
        self.std = default if config.data_std is None else config.data_std
        self.weight = AdaptiveWeight() if config.adaptive_weight else None

    def loss(
        self, nets: Mapping[str, Network], clean: State, condition: Condition, null: Condition, rng: KeyedRNG
    ) -> Losses:
        """Compute the loss of `nets["student"]` at random times and noise.

        Args:
            nets: The networks by role. Only "student" is used.
            clean: Data: latents [B, C, h, w], and class tokens [B, D] for REG.
            condition: Conditions of the batch. Rows may be null.
            null: Unused: the loss needs no unconditional prediction.
            rng: Random numbers for times and noise, one slot per sample.

        Returns:
            The batch mean of the weighted errors, the means of `errors` by name, and the forward pass.
        """
        forward_pass = self.forward_at(nets["student"], clean, self.noise(rng), self.times(rng), condition)
        return self.weighted(self.errors(forward_pass, clean), forward_pass)

    def forward_at(self, net: Network, clean: State, noise: State, t: Tensor, condition: Condition) -> ForwardPass:
        """Run the network at given noise and times `t` [B]. The prediction is returned as a velocity."""
        state, times = self.interpolate(clean, noise, t), Times(t, t)
        predicted = self.velocity(net(*self.network_inputs(state, times), condition), state, times)
        return ForwardPass(state, times, predicted, self.denoised(predicted.value, state, t), noise, condition)

    def errors(self, forward_pass: ForwardPass, clean: State) -> dict[str, Tensor]:
        """Return the errors `|F - (dx/da) / sigma_d|^2` [B] by name, each a mean over the values of a sample.

        `trigflow` is the error of the latent, `cls_token` the error of the class token (REG only). Additional heads of
        the network keep their names.
        """
        target = self.path_velocity(clean, forward_pass.noise, forward_pass.times.t)
        value = forward_pass.prediction.value
        found = {self.name: self._error(value.latent, target.latent)}
        if value.cls_token is not None and target.cls_token is not None:
            found["cls_token"] = self._error(value.cls_token, target.cls_token)
        heads = forward_pass.prediction.heads.items()
        return found | {name: self._error(head.latent, target.latent) for name, head in heads}

    def weighted(self, errors: Mapping[str, Tensor], forward_pass: ForwardPass) -> Losses:
        """Return the batch mean of `exp(w) error - w`, where `error` [B] is the weighted sum of `errors`."""
        total = torch.stack([self._factor(name) * error for name, error in errors.items()]).sum(dim=0)  # [B]
        if self.weight is not None:
            w = self.weight(QUARTER * forward_pass.times.t)
            total = w.exp() * total - w
        return Losses(total.mean(), {name: error.mean().detach() for name, error in errors.items()}, forward_pass)

    def denoised(self, velocity: State, state: State, t: Tensor) -> State:
        """Return the data that a velocity predicts at `t` [B]: `cos(a) x - sin(a) dx/da`."""
        angle = QUARTER * t
        return state.map(lambda x, v: _at(angle.cos(), x) * x - _at(angle.sin() / QUARTER, x) * v, velocity)

    def interpolate(self, clean: State, noise: State, t: Tensor) -> State:
        """Return `cos(a) data + sin(a) sigma_d noise` at times `t`: [B], or [B, N] per image token."""
        angle = QUARTER * t
        return clean.map(lambda x, n: _at(angle.cos(), x) * x + _at(self.std * angle.sin(), x) * n, noise)

    def path_velocity(self, clean: State, noise: State, t: Tensor) -> State:
        """Return `pi / 2 (cos(a) sigma_d noise - sin(a) data)`."""
        angle = QUARTER * t
        return clean.map(
            lambda x, n: _at(QUARTER * self.std * angle.cos(), x) * n - _at(QUARTER * angle.sin(), x) * x, noise
        )

    def network_inputs(self, state: State, times: Times) -> tuple[State, Times]:
        """Return `x / sigma_d` and the angles, between 0 and pi / 2."""
        return state.map(lambda x: x / self.std), times.map(lambda t: QUARTER * t)

    def velocity(self, prediction: Prediction, state: State, times: Times) -> Prediction:
        """Convert the network's output F and its heads to velocities: `dx/dt = pi / 2 sigma_d F`."""

        def convert(output: State) -> State:
            return output.map(lambda f: QUARTER * self.std * f.to(state.latent.dtype))

        heads = {name: convert(head) for name, head in prediction.heads.items()}
        return prediction._replace(value=convert(prediction.value), heads=heads)

    def step(self, velocity_fn: VelocityFn, state: State, times: Times, condition: Condition) -> State:
        """Rotate from `times.t` to `times.r`: `x_r = cos(b) x_t - sin(b) dx/da` with the angle b between them.

        It is exact if the data and noise that the network predicts do not change. A step to r = 0 returns D.
        """
        velocity = velocity_fn(state, times, condition).value
        angle = QUARTER * (times.t - times.r)
        return state.map(lambda x, v: (_at(angle.cos(), x) * x - _at(angle.sin() / QUARTER, x) * v).float(), velocity)

    def grid(self, steps: int) -> Tensor:
        """Return equally spaced sampling times from 1 to 0: float64 [steps + 1]."""
        return torch.linspace(1, 0, steps + 1, dtype=torch.float64)

    def times(self, rng: KeyedRNG) -> Tensor:
        """Draw training times [B]: `arctan(sigma / 0.5)` with a log-normal sigma, divided by pi / 2."""
        sigma = (self.config.level_mean + self.config.level_std * rng.normal("time", ())).exp()
        return torch.atan(sigma / SIGMA_DATA) / QUARTER

    def noise(self, rng: KeyedRNG) -> State:
        """Draw standard normal numbers for the latent, and for the class token (REG)."""
        latent = rng.normal("noise", self.latent.shape)  # [B, C, h, w]
        if not self.latent.cls_token_width:
            return State(latent)
        return State(latent, rng.normal("token-noise", (self.latent.cls_token_width,)))

    def _error(self, velocity: Tensor, target: Tensor) -> Tensor:
        """Mean squared difference of velocities in units of F, in float32: [B]."""
        difference = (velocity.float() - target.float()) / (QUARTER * self.std)
        return difference.square().flatten(1).mean(dim=1)

    def _factor(self, name: str) -> float:
        factors = {self.name: 1.0, "cls_token": self.config.cls_token_weight}
        return factors.get(name, self.config.internal_weight)


def _at(values: Tensor, like: Tensor) -> Tensor:
    return per_sample(values, like).to(like.dtype)
