"""Improved MeanFlow (arXiv 2512.02012), and on `prediction: x` pixel MeanFlow (arXiv 2601.22158)."""

from __future__ import annotations

from torch import Tensor

from nanogen_core.specs import LatentSpec
from nanogen_core.tensors import per_sample
from nanogen_meanflow.average import AverageVelocity
from nanogen_meanflow.config import ImprovedMeanFlowConfig
from nanogen_meanflow.question import Question


class ImprovedMeanFlow(AverageVelocity):
    """`|V - v_g|^2`, `V = u + (t - r) sg(du/dt)`, with du/dt along the network's own velocity `(u(z, t, t), 1, 0)`.

    V then depends on z alone and not on the noise and data that it came from, as a regression should: the variance of
    `noise - data` no longer enters by du/dt. Guidance with scale w: `v_g = v + (1 - 1/w) (u(z,t,t|c) - u(z,t,t|null))`.
    Pixel MeanFlow lets the network predict `x = z - t u`, so that `u = (z - x) / max(t, t_eps)`; the loss is the same.
    """

    def __init__(self, config: ImprovedMeanFlowConfig, *, latent: LatentSpec):
        super().__init__(config, config.prediction, latent=latent)
        self.interval = (config.t_min, config.t_max)
        self.share = 1 - 1 / config.scale  # of the guided velocity that guidance makes up

    def target(self, question: Question) -> Tensor:
        """v_g inside the closed interval, v outside; without guidance the network is not asked."""
        if not self.share:
            return question.velocity
        push = self._share(question.times.t) * (question.own - question.free)
        return question.unless_dropped(question.velocity + push)

    def tangent(self, question: Question, target: Tensor) -> Tensor:
        return question.own

    def _share(self, t: Tensor) -> Tensor:
        """The share at times [B]: [B, 1, 1, 1]."""
        t_min, t_max = self.interval
        return self.share * per_sample((t >= t_min) & (t <= t_max), t[:, None, None, None]).to(t.dtype)
