"""MeanFlow (arXiv 2505.13447): the path follows the velocity that is learnt, with guidance mixed into it."""

from __future__ import annotations

from torch import Tensor

from nanogen_core.specs import LatentSpec
from nanogen_meanflow.average import AverageVelocity
from nanogen_meanflow.config import MeanFlowConfig
from nanogen_meanflow.inputs import MeanFlowInputs

NOTHING = 1e-9  # a weight below is what rounding left of zero


class MeanFlow(AverageVelocity):
    """`|u + (t - r) sg(du/dt) - v_g|^2` with du/dt along `(v_g, 1, 0)` for (z, t, r), and

    `v_g = omega v + kappa u(z, t, t | c) + (1 - omega - kappa) u(z, t, t | null)`.
    """

    def __init__(self, config: MeanFlowConfig, *, latent: LatentSpec):
        super().__init__(config, "velocity", latent=latent)
        self.omega, self.kappa = config.omega, config.kappa

    def target(self, inputs: MeanFlowInputs) -> Tensor:
        """v_g; the network is only asked for the terms that have a weight."""
        guided = self.omega * inputs.velocity
        if self.kappa > NOTHING:
            guided = guided + self.kappa * inputs.v_cond
        if abs(1 - self.omega - self.kappa) > NOTHING:
            guided = guided + (1 - self.omega - self.kappa) * inputs.v_uncond
        return inputs.unless_dropped(guided)

    def tangent(self, inputs: MeanFlowInputs, target: Tensor) -> Tensor:
        return target
