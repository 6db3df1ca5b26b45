"""Base class of the MeanFlow objectives, which train an average velocity u (arXiv 2505.13447).

`u(z_t, t, r) = 1/(t - r) * integral of v(z_s, s) ds from r to t`. Differentiating `(t - r) u` by t gives the MeanFlow
identity `v = u + (t - r) du/dt`. The loss compares `V = u + (t - r) sg(du/dt)` with a target velocity.
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
from nanogen_flow.objective import Flow
from nanogen_flow.times import logit_normal, shifted
from nanogen_meanflow.config import AverageVelocityConfig
from nanogen_meanflow.derivative import METHODS, JVPInputs, JVPOutput, compound_velocity
from nanogen_meanflow.inputs import MeanFlowInputs
from nanogen_meanflow.messages import NO_CLS_TOKEN

Network = Callable[..., Prediction]  # (state, times, condition)


class Intervals(NamedTuple):
    """The samples of a step that have r < t. If `possible` is false, there are none, and du/dt is not computed."""

    rows: Tensor  # [B] bool
    possible: bool


class MeanFlowOutput(NamedTuple):
    """Prediction, target, derivative and error of one training step."""

    forward_pass: ForwardPass
    target: Tensor  # [B, C, h, w], a velocity
    du_dt: Tensor  # [B, C, h, w]
    error: Tensor  # [B]: |V - target|^2, a sum over C, h, w


class AverageVelocity(ABC):
    """Base class of the MeanFlow objectives. Subclasses define the target of V and the direction of du/dt.

    Args:
        config: Options of the objective.
        prediction: What the network predicts: the average "velocity", or the data "x".
        latent: Shape of the latents. It gives the default time shift.

    Attributes:
        flow: The flow-matching objective that defines the path from data to noise, with the option `t_eps`.
        shift: Shift of the training times.

    Raises:
        Incompatible: `latent` has a class token.
    """

    def __init__(self, config: AverageVelocityConfig, prediction: str, *, latent: LatentSpec):
        if latent.cls_token_width:
            raise Incompatible(NO_CLS_TOKEN)
        self.config = config
        path = FlowConfig(prediction=prediction, shift=config.shift, sample_shift=1.0, t_eps=config.t_eps)
        self.flow = Flow(path, latent=latent)
        self.shift = self.flow.shift
        self._derivative = METHODS[config.derivative](config.fd_step)

    @abstractmethod
    def target(self, inputs: MeanFlowInputs) -> Tensor:
        """Return the guided target [B, C, h, w] of V, without gradient."""

    @abstractmethod
    def tangent(self, inputs: MeanFlowInputs, target: Tensor) -> Tensor:
        """Return dz/dt [B, C, h, w], the direction in z along which du/dt is taken, without gradient."""

    def loss(
        self, nets: Mapping[str, Network], clean: State, condition: Condition, null: Condition, rng: KeyedRNG
    ) -> Losses:
        """Compute the loss of `nets["student"]` at random times and noise.

        Args:
            nets: The networks by role. Only "student" is used.
            clean: Data: latents [B, C, h, w].
            condition: Conditions of the batch. Rows may be null; their target has no guidance.
            null: The null condition, for the unconditional velocity of the target.
            rng: Random numbers for times, noise and guidance, one slot per sample.

        Returns:
            The total loss, its terms by name, and the forward pass. The term "meanflow" is the batch mean of the
            weighted errors of V. Each additional head adds a term; its target is the unguided velocity. The term
            "error" is not part of the total: it is the unweighted squared error of V, a mean over batch and latent.
        """
        has_interval = self.has_interval(rng)
        times, noise = self.times(rng, has_interval.rows), self.flow.noise(rng)
        guided = self.with_guidance(condition, has_interval.rows, rng)
        inputs = self.make_inputs(nets["student"], clean, noise, times, guided, null)
        output = self.evaluate(inputs, has_interval.possible)
        losses = {"meanflow": self.weighted(output.error).mean(), **self._heads(output.forward_pass, inputs.velocity)}
        parts = {**losses, "error": output.error.mean() / clean.latent[0].numel()}
        total = torch.stack([*losses.values()]).sum()
        return Losses(total, {name: value.detach() for name, value in parts.items()}, output.forward_pass)

    def has_interval(self, rng: KeyedRNG) -> Intervals:
        """Draw which samples have r < t: one draw per sample with `mix: sample`, one draw per step with `mix: step`."""
        probability = self.config.probability
        if self.config.mix == "sample":
            return Intervals(rng.uniform("meanflow.jump") < probability, possible=probability > 0)
        has_interval = rng.shared_uniform("meanflow.jump") < probability
        rows = torch.full((len(rng.slots),), has_interval, device=rng.device)
        return Intervals(rows, possible=has_interval)

    def with_guidance(self, condition: Condition, has_interval: Tensor, rng: KeyedRNG) -> Condition:
        """Return `condition` plus guidance inputs, for CFG-conditioned networks. This base method adds none."""
        return condition

    def make_inputs(
        self, net: Network, clean: State, noise: State, times: Times, condition: Condition, null: Condition
    ) -> MeanFlowInputs:
        """Noise `clean` to `times.t` and collect the inputs of the step. The shapes are as in `loss`."""
        state = self.interpolate(clean, noise, times.t)
        velocity = self.flow.target_velocity(clean, state, times.t).latent
        return MeanFlowInputs(self._velocity_fn(net), state, noise, times, velocity, condition, null)

    def evaluate(self, inputs: MeanFlowInputs, has_interval: bool) -> MeanFlowOutput:
        """Evaluate the network, du/dt and the target.

        Args:
            inputs: The inputs of the step.
            has_interval: Whether any sample may have r < t. If not, V = u and du/dt is not computed.
        """
        target, output = self._with_derivative(inputs) if has_interval else self._without_derivative(inputs)
        state, (t, r), u = inputs.state, inputs.times, output.prediction.value
        denoised = self.flow.denoised(u, state, t)
        forward_pass = ForwardPass(state, inputs.times, output.prediction, denoised, inputs.noise, inputs.condition)
        error = _squared(compound_velocity(output, t - r), target)
        return MeanFlowOutput(forward_pass, target, output.du_dt, error)

    def weighted(self, error: Tensor) -> Tensor:
        """Return the adaptively weighted errors `error / (sg(error) + norm_eps)^norm_p` [B]."""
        return error / (error.detach() + self.config.norm_eps) ** self.config.norm_p

    def times(self, rng: KeyedRNG, has_interval: Tensor) -> Times:
        """Draw shifted logit-normal times: r < t where `has_interval` [B] is true, r = t elsewhere."""
        normal = rng.normal("time", (2,))  # [B, 2]
        drawn = shifted(logit_normal(normal, self.config.time_mean, self.config.time_std), self.flow.shift)
        smaller, larger = drawn.sort(dim=1).values.unbind(1)
        flow_time = larger if self.config.flow_time == "maximum" else drawn[:, 0]
        return Times(torch.where(has_interval, larger, flow_time), torch.where(has_interval, smaller, flow_time))

    def interpolate(self, clean: State, noise: State, t: Tensor) -> State:
        """Return `x_t = (1 - t) data + t noise` at times `t` [B]."""
        return self.flow.interpolate(clean, noise, t)

    def path_velocity(self, clean: State, noise: State, t: Tensor) -> State:
        """Return `noise - data`."""
        return self.flow.path_velocity(clean, noise, t)

    def velocity(self, prediction: Prediction, state: State, times: Times) -> Prediction:
        """Convert the prediction and its heads to average velocities over `times`."""
        return self.flow.velocity(prediction, state, times)

    def step(self, velocity_fn: VelocityFn, state: State, times: Times, condition: Condition) -> State:
        """Step from `times.t` to `times.r`: `x - (t - r) u(x, t, r)`."""
        return self.flow.step(velocity_fn, state, times, condition)

    def grid(self, steps: int) -> Tensor:
        """Return equally spaced sampling times from 1 to 0, without a shift: float64 [steps + 1]."""
        return self.flow.grid(steps)

    def _with_derivative(self, inputs: MeanFlowInputs) -> tuple[Tensor, JVPOutput]:
        target = self.target(inputs)
        at = JVPInputs(inputs.state.latent, inputs.times.t, self.tangent(inputs, target))
        return target, self._derivative(inputs.predict_at, at)

    def _without_derivative(self, inputs: MeanFlowInputs) -> tuple[Tensor, JVPOutput]:
        """For r = t everywhere. The prediction is then `v_cond`, which is not computed a second time."""
        prediction = inputs.predict_at(inputs.state.latent, inputs.times.t)
        v_cond = prediction.value.latent.detach()
        return self.target(evolve(inputs, known_v_cond=v_cond)), JVPOutput(prediction, torch.zeros_like(v_cond))

    def _velocity_fn(self, net: Network) -> VelocityFn:
        def velocity_fn(state: State, times: Times, condition: Condition) -> Prediction:
            return self.velocity(net(state, times, condition), state, times)

        return velocity_fn

    def _heads(self, forward_pass: ForwardPass, velocity: Tensor) -> dict[str, Tensor]:
        heads = forward_pass.prediction.heads.items()
        losses = {name: self.weighted(_squared(head.latent, velocity)).mean() for name, head in heads}
        return {name: self.config.internal_weight * loss for name, loss in losses.items()}


def _squared(predicted: Tensor, target: Tensor) -> Tensor:
    """Sum of squared differences of each sample: [B]."""
    return (predicted - target).square().flatten(1).sum(dim=1)
