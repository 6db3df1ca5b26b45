"""What the objectives share whose network predicts the average velocity u over an interval of time.

`u(z_t, t, r) = 1/(t - r) * integral of v(z_s, s) ds from r to t`. Derived by t this is the MeanFlow identity
`v = u + (t - r) du/dt`: the right-hand side is learnt to be a velocity, with du/dt held constant.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from attrs import evolve
from torch import Tensor

from nanogen_core.errors import Incompatible
from nanogen_core.protocols import VelocityFn
from nanogen_core.randomness import KeyedRNG
from nanogen_core.specs import LatentSpec
from nanogen_core.tensors import Condition, ForwardPass, Losses, Prediction, State, Times
from nanogen_flow.config import FlowConfig
from nanogen_flow.objective import Flow, interpolate
from nanogen_flow.times import logit_normal, shifted
from nanogen_meanflow.config import AverageConfig
from nanogen_meanflow.derivative import ROUTES, Point, Slope, compound
from nanogen_meanflow.inputs import MeanFlowInputs
from nanogen_meanflow.refusals import TOKEN

Network = Callable[..., Prediction]  # (state, times, condition), a backbone or what stands in for it


class Intervals(NamedTuple):
    """Which samples of a step have r < t, and whether any can: else no derivative is taken."""

    rows: Tensor  # [B] bool
    possible: bool


class MeanFlowOutput(NamedTuple):
    """What came of a question."""

    forward_pass: ForwardPass
    target: Tensor  # [B, C, h, w], a velocity
    du_dt: Tensor  # [B, C, h, w]
    error: Tensor  # [B]: |V - target|^2, a sum over C, h, w


class AverageVelocity(ABC):
    """An objective on average velocities. Which velocity V is to be, and which one the path follows, are its parts'.

    `flow` is the path from data to noise, with its damped velocity; `prediction` is what the network gives.
    """

    def __init__(self, config: AverageConfig, prediction: str, *, latent: LatentSpec):
        if latent.cls_token_width:
            raise Incompatible(TOKEN)
        self.config = config
        path = FlowConfig(prediction=prediction, shift=config.shift, sample_shift=1.0, t_eps=config.t_eps)
        self.flow = Flow(path, latent=latent)
        self.shift = self.flow.shift  # of the times: the option's, or the latent's where that is null
        self._derivative = ROUTES[config.derivative](config.fd_step)

    @abstractmethod
    def target(self, inputs: MeanFlowInputs) -> Tensor:
        """The velocity [B, C, h, w] that V learns to be, without gradient; guidance is mixed into it."""

    @abstractmethod
    def tangent(self, inputs: MeanFlowInputs, target: Tensor) -> Tensor:
        """The velocity [B, C, h, w] along which du/dt is taken, without gradient."""

    def loss(
        self, nets: Mapping[str, Network], clean: State, condition: Condition, null: Condition, rng: KeyedRNG
    ) -> Losses:
        """The batch mean of weighted errors of V, and of each further head, which learns the unguided velocity.

        `error` in the parts is the squared error of V, a mean over batch and latent.
        """
        has_interval = self.has_interval(rng)
        times, noise = self.times(rng, has_interval.rows), self.flow.noise(rng)
        inputs = self.make_inputs(
            nets["student"], clean, noise, times, self.with_guidance(condition, has_interval.rows, rng), null
        )
        output = self.evaluate(inputs, has_interval.possible)
        losses = {"meanflow": self.weighted(output.error).mean(), **self._heads(output.forward_pass, inputs.velocity)}
        parts = {**losses, "error": output.error.mean() / clean.latent[0].numel()}
        total = torch.stack([*losses.values()]).sum()
        return Losses(total, {name: value.detach() for name, value in parts.items()}, output.forward_pass)

    def has_interval(self, rng: KeyedRNG) -> Intervals:
        """Which samples have an interval of time: all of a step or none, or each by itself."""
        probability = self.config.probability
        if self.config.mix == "sample":
            return Intervals(rng.uniform("meanflow.jump") < probability, possible=probability > 0)
        jump = rng.shared_uniform("meanflow.jump") < probability
        return Intervals(torch.full((len(rng.slots),), jump, device=rng.device), possible=jump)

    def with_guidance(self, condition: Condition, has_interval: Tensor, rng: KeyedRNG) -> Condition:
        """The condition with the guidance as an extra, for networks that have it as an input. Unchanged here."""
        return condition

    def make_inputs(
        self, net: Network, clean: State, noise: State, times: Times, condition: Condition, null: Condition
    ) -> MeanFlowInputs:
        """The inputs at the states between data and noise at `times.t`."""
        state = interpolate(clean, noise, times.t)
        velocity = self.flow.target_velocity(clean, state, times.t).latent
        return MeanFlowInputs(self._velocity_fn(net), state, times, velocity, condition, null)

    def evaluate(self, inputs: MeanFlowInputs, has_interval: bool) -> MeanFlowOutput:
        """Evaluate the network, its derivative and the target. Without `has_interval` r = t everywhere, and V = u."""
        target, slope = self._over_intervals(inputs) if has_interval else self._at_instants(inputs)
        state, (t, r), u = inputs.state, inputs.times, slope.prediction.value
        forward_pass = ForwardPass(state, inputs.times, slope.prediction, self.flow.denoised(u, state, t))
        return MeanFlowOutput(forward_pass, target, slope.du_dt, _squared(compound(slope, t - r), target))

    def weighted(self, error: Tensor) -> Tensor:
        """`error / (sg(error) + norm_eps)^norm_p`, sample by sample: [B]."""
        return error / (error.detach() + self.config.norm_eps) ** self.config.norm_p

    def times(self, rng: KeyedRNG, has_interval: Tensor) -> Times:
        """Logit-normal times, shifted: an interval where `has_interval` [B] is true, an instant elsewhere."""
        normal = rng.normal("time", (2,))  # [B, 2]
        drawn = shifted(logit_normal(normal, self.config.time_mean, self.config.time_std), self.flow.shift)
        earlier, later = drawn.sort(dim=1).values.unbind(1)
        instant = later if self.config.flow_time == "maximum" else drawn[:, 0]
        return Times(torch.where(has_interval, later, instant), torch.where(has_interval, earlier, instant))

    def velocity(self, prediction: Prediction, state: State, times: Times) -> Prediction:
        """The prediction and those of its heads as average velocities over `times`."""
        return self.flow.velocity(prediction, state, times)

    def step(self, velocity_fn: VelocityFn, state: State, times: Times, condition: Condition) -> State:
        """One jump from `times.t` to `times.r`: `x - (t - r) u(x, t, r)`."""
        return self.flow.step(velocity_fn, state, times, condition)

    def grid(self, steps: int) -> Tensor:
        """Equal steps, without a shift: float64 [steps + 1], falling from 1 to 0."""
        return self.flow.grid(steps)

    def _over_intervals(self, inputs: MeanFlowInputs) -> tuple[Tensor, Slope]:
        target = self.target(inputs)
        at = Point(inputs.state.latent, inputs.times.t, self.tangent(inputs, target))
        return target, self._derivative(inputs.along, at)

    def _at_instants(self, inputs: MeanFlowInputs) -> tuple[Tensor, Slope]:
        """Where r = t the prediction is `v_cond` itself, so that it is not computed twice."""
        prediction = inputs.along(inputs.state.latent, inputs.times.t)
        own = prediction.value.latent.detach()
        return self.target(evolve(inputs, known=own)), Slope(prediction, torch.zeros_like(own))

    def _velocity_fn(self, net: Network) -> VelocityFn:
        def velocity_fn(state: State, times: Times, condition: Condition) -> Prediction:
            return self.velocity(net(state, times, condition), state, times)

        return velocity_fn

    def _heads(self, forward_pass: ForwardPass, velocity: Tensor) -> dict[str, Tensor]:
        heads = forward_pass.prediction.heads.items()
        losses = {name: self.weighted(_squared(head.latent, velocity)).mean() for name, head in heads}
        return {name: self.config.internal_weight * loss for name, loss in losses.items()}


def _squared(predicted: Tensor, target: Tensor) -> Tensor:
    """The sum of squared differences of each sample: [B]."""
    return (predicted - target).square().flatten(1).sum(dim=1)
