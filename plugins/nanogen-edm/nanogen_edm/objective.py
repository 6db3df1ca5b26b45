"""EDM (Karras et al., arXiv 2206.00364): `x = data + sigma noise` with preconditioning of the network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from nanogen_core.protocols import Network, VelocityFn
from nanogen_core.randomness import KeyedRNG
from nanogen_core.specs import LatentSpec
from nanogen_core.tensors import Condition, ForwardPass, Losses, Prediction, State, Times, per_sample
from nanogen_edm.config import EDMConfig

PIXEL_STD = 0.5  # of images in [-1, 1]
LEAST_SIGMA = 1e-8  # limit of the logarithm in c_noise


class Coefficients(NamedTuple):
    """Coefficients of Table 1 of the EDM paper at noise levels sigma. Each tensor has the shape of sigma."""

    skip: Tensor  # sigma_data^2 / (sigma^2 + sigma_data^2)
    out: Tensor  # sigma sigma_data / sqrt(sigma^2 + sigma_data^2)
    into: Tensor  # c_in = 1 / sqrt(sigma^2 + sigma_data^2)
    noise: Tensor  # ln(sigma) / 4
    weight: Tensor  # lambda = (sigma^2 + sigma_data^2) / (sigma sigma_data)^2


class EDM:
    """Denoising with preconditioning.

    The denoiser is `D(x; sigma) = c_skip x + c_out F(c_in x; c_noise)` for the network F. The loss is
    `lambda(sigma) |D(data + sigma noise; sigma) - data|^2` with `ln(sigma) ~ N(level_mean, level_std^2)` and
    `lambda = 1 / c_out^2`.

    The time is `t = sigma / sigma_max`. Then `dx/dt = sigma_max (x - D) / sigma`, and steps in t are steps in sigma.

    The equations hold for data with the standard deviation `sigma_data`. For latents with the standard deviation
    `data_std`, `scale = data_std / sigma_data` and the path is `x = data + scale sigma noise`. Then the equations hold
    for x / scale and data / scale.

    Args:
        config: Options of the objective.
        latent: Shape of the latents. It gives the default of `data_std`.

    Attributes:
        scale: Latents divided by it have the standard deviation `sigma_data`.
    """

    def __init__(self, config: EDMConfig, *, latent: LatentSpec):
        self.config = config
        self.latent = latent
        default = PIXEL_STD if latent.factor == 1 else 1.0
        self.scale = (default if config.data_std is None else config.data_std) / config.sigma_data

    def loss(
        self, nets: Mapping[str, Network], clean: State, condition: Condition, null: Condition, rng: KeyedRNG
    ) -> Losses:
        """Compute the loss of `nets["student"]` at random noise levels.

        Args:
            nets: The networks by role. Only "student" is used.
            clean: Data: latents [B, C, h, w], and class tokens [B, D] for REG.
            condition: Conditions of the batch. Rows may be null.
            null: Unused: the loss needs no unconditional prediction.
            rng: Random numbers of noise levels and noise, one slot per sample.

        Returns:
            The total loss, the batch means of `errors` by name, and the forward pass. The total is the weighted sum of
            these means.
        """
        forward_pass = self.forward_at(nets["student"], clean, self.noise(rng), self.times(rng), condition)
        means = {name: values.mean() for name, values in self.errors(forward_pass, clean).items()}
        total = torch.stack([self._weight(name) * mean for name, mean in means.items()]).sum()
        return Losses(total, {name: mean.detach() for name, mean in means.items()}, forward_pass)

    def forward_at(self, net: Network, clean: State, noise: State, t: Tensor, condition: Condition) -> ForwardPass:
        """Run the network at given noise and times `t` [B]. The prediction is returned as a velocity."""
        state, times = self.interpolate(clean, noise, t), Times(t, t)
        predicted = self.velocity(net(*self.network_inputs(state, times), condition), state, times)
        return ForwardPass(state, times, predicted, self.denoised(predicted.value, state, t), noise, condition)

    def errors(self, forward_pass: ForwardPass, clean: State) -> dict[str, Tensor]:
        """Return errors by name: `lambda(sigma) |(D - data) / scale|^2` of each sample [B], averaged over its values.

        `edm` is the error of the latent, `cls_token` the error of the class token (REG only). Each additional head of
        the network adds the error of its latent under the head's name.
        """
        t, prediction = forward_pass.times.t, forward_pass.prediction
        weight = self.coefficients(t).weight / self.scale**2
        predicted = {"edm": forward_pass.denoised.latent}
        target = {"edm": clean.latent}
        if forward_pass.denoised.cls_token is not None and clean.cls_token is not None:
            predicted["cls_token"], target["cls_token"] = forward_pass.denoised.cls_token, clean.cls_token
        image = State(forward_pass.state.latent)
        for name, head in prediction.heads.items():
            predicted[name], target[name] = self.denoised(State(head.latent), image, t).latent, clean.latent
        return {name: weight * _squared_error(predicted[name], target[name]) for name in predicted}

    def coefficients(self, t: Tensor) -> Coefficients:
        """Return the preconditioning and the weight of the loss at times `t`."""
        sigma, data = self.sigma(t), self.config.sigma_data
        variance = sigma.square() + data**2
        return Coefficients(
            skip=data**2 / variance,
            out=sigma * data / variance.sqrt(),
            into=variance.rsqrt(),
            noise=sigma.clamp(min=LEAST_SIGMA).log() / 4,
            weight=variance / (sigma * data).square(),
        )

    def sigma(self, t: Tensor) -> Tensor:
        """Return the noise level sigma at times `t`."""
        return self.config.sigma_max * t

    def denoised(self, velocity: State, state: State, t: Tensor) -> State:
        """Return D, the data that a velocity predicts at `t` [B]: `x - t dx/dt`."""
        return state.map(lambda x, v: x - per_sample(t, x).to(x.dtype) * v, velocity)

    def interpolate(self, clean: State, noise: State, t: Tensor) -> State:
        """Return `data + scale sigma(t) noise`. `t` is one time per sample [B] or per image token [B, N]."""
        level = self.scale * self.sigma(t)
        return clean.map(lambda data, n: data + per_sample(level, data).to(data.dtype) * n, noise)

    def path_velocity(self, clean: State, noise: State, t: Tensor) -> State:
        """Return `scale sigma_max noise`. It does not depend on `t`."""
        return noise.map(lambda n: self.scale * self.config.sigma_max * n)

    def network_inputs(self, state: State, times: Times) -> tuple[State, Times]:
        """Return `c_in x / scale` and the times `c_noise`. The times can be negative or above 1."""
        coefficients = self.coefficients(times.t)
        into = coefficients.into / self.scale
        scaled = state.map(lambda x: per_sample(into, x).to(x.dtype) * x)
        return scaled, Times(coefficients.noise, coefficients.noise)

    def velocity(self, prediction: Prediction, state: State, times: Times) -> Prediction:
        """Convert the network's output F and its heads to velocities.

        `dx/dt = sigma_max (x - c_skip x - c_out F) / sigma
        = sigma_max (sigma x / (sigma^2 + sigma_data^2) - sigma_data F / sqrt(sigma^2 + sigma_data^2))`, where x stands
        for x / scale. The result is multiplied by scale.
        """
        inverse = self.coefficients(times.t).into
        of_state = self.config.sigma_max * self.sigma(times.t) * inverse.square()
        of_output = self.scale * self.config.sigma_max * self.config.sigma_data * inverse

        def convert(output: State) -> State:
            x_t = state if output.cls_token is not None else State(state.latent)
            return x_t.map(lambda x, f: _times(of_state, x) * x - _times(of_output, x) * f.to(x.dtype), output)

        heads = {name: convert(head) for name, head in prediction.heads.items()}
        return prediction._replace(value=convert(prediction.value), heads=heads)

    def step(self, velocity_fn: VelocityFn, state: State, times: Times, condition: Condition) -> State:
        """Take one Euler step in sigma from `times.t` to `times.r`: `x - (t - r) dx/dt`."""
        velocity = velocity_fn(state, times, condition).value
        h = times.t - times.r  # [B]
        return state.map(lambda x, v: x - per_sample(h, x).to(x.dtype) * v, velocity)

    def grid(self, steps: int) -> Tensor:
        """Return the float64 sampling times sigma_i / sigma_max [steps + 1] (equation 5).

        `sigma_i = (sigma_max^(1/rho) + i / (steps - 1) (sigma_min^(1/rho) - sigma_max^(1/rho)))^rho` for i < steps,
        and sigma_steps = 0. With one step, sigma_0 = sigma_max.
        """
        low = (self.config.sigma_min / self.config.sigma_max) ** (1 / self.config.rho)
        levels = torch.linspace(1, low if steps > 1 else 1, steps, dtype=torch.float64) ** self.config.rho
        return torch.cat([levels, torch.zeros(1, dtype=torch.float64)])

    def times(self, rng: KeyedRNG) -> Tensor:
        """Draw training times sigma / sigma_max [B] with `ln(sigma) ~ N(level_mean, level_std^2)`, at most 1."""
        sigma = (self.config.level_mean + self.config.level_std * rng.normal("time", ())).exp()
        return (sigma / self.config.sigma_max).clamp(max=1)

    def noise(self, rng: KeyedRNG) -> State:
        """Draw standard normal numbers for the latent, and for the class token (REG)."""
        latent = rng.normal("noise", self.latent.shape)  # [B, C, h, w]
        if not self.latent.cls_token_width:
            return State(latent)
        return State(latent, rng.normal("token-noise", (self.latent.cls_token_width,)))

    def _weight(self, name: str) -> float:
        weights = {"edm": 1.0, "cls_token": self.config.cls_token_weight}
        return weights.get(name, self.config.internal_weight)


def _times(values: Tensor, like: Tensor) -> Tensor:
    return per_sample(values, like).to(like.dtype)


def _squared_error(predicted: Tensor, target: Tensor) -> Tensor:
    """Mean over all axes but the batch, in float32: [B]."""
    return (predicted.float() - target.float()).square().flatten(1).mean(dim=1)
