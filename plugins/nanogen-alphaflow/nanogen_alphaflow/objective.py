"""AlphaFlow (Zhang et al., arXiv 2510.20771): a curriculum from trajectory flow matching to MeanFlow."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from nanogen_alphaflow.config import AlphaFlowConfig
from nanogen_core.protocols import Network
from nanogen_core.randomness import KeyedRNG
from nanogen_core.specs import LatentSpec
from nanogen_core.tensors import Condition, ForwardPass, Losses, Prediction, State, Times, per_sample
from nanogen_meanflow.average import Intervals
from nanogen_meanflow.derivative import JVPInputs
from nanogen_meanflow.inputs import MeanFlowInputs
from nanogen_meanflow.meanflow import MeanFlow


class AlphaFlow(MeanFlow):
    """Train average velocities. The target moves from that of flow matching to that of MeanFlow.

    v_g is the guided velocity of MeanFlow for t_min < t < t_max, and the unguided velocity at other times. For r < t,
    with `s = t - alpha (t - r)`, the target of the average velocity u(z_t, t, r) is

    - `alpha v_g + (1 - alpha) u(z_t - (t - s) v_g, s, r)` for 0 < alpha < 1, without gradient,
    - `v_g` for alpha = 1 (trajectory flow matching),
    - `v_g - (t - r) du/dt` for alpha = 0 (MeanFlow).

    These targets are clamped to [-clamp, clamp] while alpha > 0. alpha falls from 1 to 0 along a sigmoid of the
    training step. For r = t the target is v_g. The loss of a sample with the mean squared error e is
    `factor e / (sg(e) + norm_eps)^norm_p`. The factor is alpha where r < t and alpha > 0, and 1 elsewhere.

    Args:
        config: Options of the objective.
        latent: Shape of the latents. It must have no class token.
    """

    config: AlphaFlowConfig

    def __init__(self, config: AlphaFlowConfig, *, latent: LatentSpec):
        super().__init__(config, latent=latent)

    def loss(
        self, nets: Mapping[str, Network], clean: State, condition: Condition, null: Condition, rng: KeyedRNG
    ) -> Losses:
        """Compute the loss of `nets["student"]` at random times and noise.

        Args:
            nets: The networks by role. Only "student" is used.
            clean: Data: latents [B, C, h, w].
            condition: Conditions of the batch. Rows may be null; the target of such a row has no guidance.
            null: The null condition, for the unconditional velocity of the target.
            rng: Random numbers of times and noise. Its step sets alpha.

        Returns:
            The total loss, its terms by name, and the forward pass. The term "alphaflow" is the batch mean of the
            samples' losses (see the class). Each additional head adds a term with the factor `internal_weight`. The
            target of a head is the unguided velocity. Two parts are not in the total: "error", the mean squared error,
            and "alpha".
        """
        alpha, has_interval = self.config.alpha(rng.step), self.has_interval(rng)
        times, noise = self.times(rng, has_interval.rows), self.flow.noise(rng)
        inputs = self.make_inputs(nets["student"], clean, noise, times, condition, null)
        prediction, target = self.prediction_and_target(inputs, alpha, has_interval)
        error = _squared_error(prediction.value.latent, target)  # [B]
        factor = torch.where(has_interval.rows & (alpha > 0), alpha, 1.0)
        losses = {"alphaflow": (factor * self.weighted(error)).mean()}
        for name, head in prediction.heads.items():
            weighted = self.weighted(_squared_error(head.latent, inputs.velocity))
            losses[name] = self.config.internal_weight * weighted.mean()
        parts = {**losses, "error": error.mean(), "alpha": error.new_tensor(alpha)}
        denoised = self.flow.denoised(prediction.value, inputs.state, times.t)
        forward_pass = ForwardPass(inputs.state, times, prediction, denoised, noise, condition)
        total = torch.stack([*losses.values()]).sum()
        return Losses(total, {name: value.detach() for name, value in parts.items()}, forward_pass)

    def target(self, inputs: MeanFlowInputs) -> Tensor:
        """Return v_g: the guided velocity of MeanFlow for t_min < t < t_max, the unguided velocity at other times."""
        t = inputs.times.t
        guided = (t > self.config.t_min) & (t < self.config.t_max)
        return torch.where(per_sample(guided, inputs.velocity), super().target(inputs), inputs.velocity)

    def prediction_and_target(
        self, inputs: MeanFlowInputs, alpha: float, has_interval: Intervals
    ) -> tuple[Prediction, Tensor]:
        """Return the prediction u(z_t, t, r) and its target [B, C, h, w]. Only the prediction has a gradient.

        Args:
            inputs: The inputs of the step.
            alpha: alpha of the step.
            has_interval: Which samples have r < t.
        """
        velocity = self.target(inputs)
        state, (t, r) = inputs.state, inputs.times
        if alpha > 0 or not has_interval.possible:
            prediction = inputs.predict_at(state.latent, t)
            return prediction, self._discrete_target(inputs, velocity, alpha, has_interval.rows)
        output = self._derivative(inputs.predict_at, JVPInputs(state.latent, t, velocity))
        return output.prediction, velocity - per_sample(t - r, velocity) * output.du_dt

    def weighted(self, error: Tensor) -> Tensor:
        """Return `error / (sg(error) + norm_eps)^norm_p` for each sample [B]."""
        return error / (error.detach() + self.config.norm_eps) ** self.config.norm_p

    @torch.no_grad()
    def _discrete_target(self, inputs: MeanFlowInputs, velocity: Tensor, alpha: float, rows: Tensor) -> Tensor:
        """Return the target for alpha > 0: v_g where r = t."""
        t, r = inputs.times
        target = alpha * velocity
        if alpha < 1 and rows.any():
            h = alpha * (t - r)  # t - s
            earlier = State(inputs.state.latent - per_sample(h, velocity) * velocity)
            after = inputs.velocity_fn(earlier, Times(t - h, r), inputs.condition).value.latent
            target = target + (1 - alpha) * after
        if self.config.clamp is not None:
            target = target.clamp(-self.config.clamp, self.config.clamp)
        return torch.where(per_sample(rows, velocity), target, velocity)


def _squared_error(predicted: Tensor, target: Tensor) -> Tensor:
    """Mean squared difference of each sample, in float32: [B]."""
    return (predicted.float() - target.float()).square().flatten(1).mean(dim=1)
