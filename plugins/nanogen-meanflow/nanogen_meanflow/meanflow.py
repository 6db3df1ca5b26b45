"""MeanFlow (arXiv 2505.13447)."""

from __future__ import annotations

from torch import Tensor

from nanogen_core.specs import LatentSpec
from nanogen_meanflow.average import AverageVelocity
from nanogen_meanflow.config import MeanFlowConfig
from nanogen_meanflow.inputs import MeanFlowInputs

MIN_WEIGHT = 1e-9  # smaller weights are rounding errors of 0


class MeanFlow(AverageVelocity):
    """MeanFlow with guidance in the target: `|u + (t - r) sg(du/dt) - v_g|^2`.

    `v_g = omega v + kappa u(z, t, t | c) + (1 - omega - kappa) u(z, t, t | null)` with
    `v = (z - data) / max(t, t_eps)`. du/dt is taken in the direction `(v_g, 1, 0)` of (z, t, r).

    Args:
        config: Options of the objective.
        latent: Shape of the latents. It must have no class token.
    """

    def __init__(self, config: MeanFlowConfig, *, latent: LatentSpec):
        super().__init__(config, "velocity", latent=latent)
        self.omega, self.kappa = config.omega, config.kappa

    def target(self, inputs: MeanFlowInputs) -> Tensor:
        """Return v_g, and v in rows with a dropped condition.

        The network is evaluated only for terms of v_g whose weight is not 0.
        """
        guided = self.omega * inputs.velocity
        if self.kappa > MIN_WEIGHT:
            guided = guided + self.kappa * inputs.v_cond
        if abs(1 - self.omega - self.kappa) > MIN_WEIGHT:
            guided = guided + (1 - self.omega - self.kappa) * inputs.v_uncond
        return inputs.unguided_where_null(guided)

    def tangent(self, inputs: MeanFlowInputs, target: Tensor) -> Tensor:
        """Return v_g."""
        return target
