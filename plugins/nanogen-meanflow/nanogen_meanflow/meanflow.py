"""MeanFlow (arXiv 2505.13447): the path follows the velocity that is learnt, with guidance mixed into it."""

from __future__ import annotations

from torch import Tensor

from nanogen_core.specs import LatentSpec
from nanogen_meanflow.average import AverageVelocity
from nanogen_meanflow.config import MeanFlowConfig
from nanogen_meanflow.question import Question

NOTHING = 1e-9  # a weight below is what rounding left of zero


class MeanFlow(AverageVelocity):
    """`|u + (t - r) sg(du/dt) - v_g|^2` with du/dt along `(v_g, 1, 0)` for (z, t, r), and

    `v_g = omega v + kappa u(z, t, t | c) + (1 - omega - kappa) u(z, t, t | null)`.
    """

    def __init__(self, config: MeanFlowConfig, *, latent: LatentSpec):
        super().__init__(config, "velocity", latent=latent)
        self.omega, self.kappa = config.omega, config.kappa

    def target(self, question: Question) -> Tensor:
        """v_g; the network is only asked for the terms that have a weight."""
        guided = self.omega * question.velocity
        if self.kappa > NOTHING:
            guided = guided + self.kappa * question.own
        if abs(1 - self.omega - self.kappa) > NOTHING:
            guided = guided + (1 - self.omega - self.kappa) * question.free
        return question.unless_dropped(guided)

    def tangent(self, question: Question, target: Tensor) -> Tensor:
        return target
