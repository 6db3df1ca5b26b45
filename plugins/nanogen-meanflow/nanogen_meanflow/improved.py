"""Improved MeanFlow (arXiv 2512.02012), and with `prediction: x` pixel MeanFlow (arXiv 2601.22158)."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor

from nanogen_core.specs import LatentSpec
from nanogen_core.tensors import per_sample
from nanogen_meanflow.average import AverageVelocity
from nanogen_meanflow.config import ImprovedMeanFlowBaseConfig, ImprovedMeanFlowConfig
from nanogen_meanflow.inputs import MeanFlowInputs


class ImprovedMeanFlowBase(AverageVelocity):
    """Base of the improved MeanFlow objectives: `|V - v_g|^2` with `V = u + (t - r) sg(du/dt)`.

    du/dt is taken in the direction `(u(z, t, t | c), 1, 0)` of (z, t, r): along the network's own velocity, not along
    `v = noise - data`. V then does not depend on v, so the variance of v does not enter du/dt.

    The guided target for a scale w is `v_g = v + (1 - 1/w) (u(z, t, t | c) - u(z, t, t | null))`. For t < t_eps its v
    is `(z - data) / t_eps`.

    With `prediction: x` (pixel MeanFlow) the network predicts `x = z - t u`, hence `u = (z - x) / max(t, t_eps)`.
    """

    def __init__(self, config: ImprovedMeanFlowBaseConfig, *, latent: LatentSpec):
        super().__init__(config, config.prediction, latent=latent)

    @abstractmethod
    def guidance_fraction(self, inputs: MeanFlowInputs) -> Tensor | None:
        """Return `1 - 1/w` [B] at the times of `inputs`, or None for no guidance: the target is then v."""

    def target(self, inputs: MeanFlowInputs) -> Tensor:
        """Return v_g, and v in rows with a dropped condition. Without guidance the network is not evaluated."""
        fraction = self.guidance_fraction(inputs)
        if fraction is None:
            return inputs.velocity
        guidance = per_sample(fraction, inputs.velocity) * (inputs.v_cond - inputs.v_uncond)
        return inputs.unguided_where_null(inputs.velocity + guidance)

    def tangent(self, inputs: MeanFlowInputs, target: Tensor) -> Tensor:
        """Return u(z, t, t | c)."""
        return inputs.v_cond


class ImprovedMeanFlow(ImprovedMeanFlowBase):
    """Improved MeanFlow with one guidance scale, fixed in training.

    Args:
        config: Options of the objective.
        latent: Shape of the latents. It must have no class token.
    """

    config: ImprovedMeanFlowConfig

    def guidance_fraction(self, inputs: MeanFlowInputs) -> Tensor | None:
        """Return `1 - 1/w` [B] for t in [t_min, t_max], 0 elsewhere. None if w = 1."""
        if self.config.scale == 1.0:
            return None
        t = inputs.times.t
        return (1 - 1 / self.config.scale) * ((t >= self.config.t_min) & (t <= self.config.t_max)).to(t.dtype)
