"""Improved MeanFlow (arXiv 2512.02012), and on `prediction: x` pixel MeanFlow (arXiv 2601.22158)."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor

from nanogen_core.specs import LatentSpec
from nanogen_core.tensors import per_sample
from nanogen_meanflow.average import AverageVelocity
from nanogen_meanflow.config import ImprovedMeanFlowConfig, RegressionConfig
from nanogen_meanflow.inputs import MeanFlowInputs


class Regression(AverageVelocity):
    """`|V - v_g|^2`, `V = u + (t - r) sg(du/dt)`, with du/dt along the network's own velocity `(u(z, t, t), 1, 0)`.

    V then depends on z alone and not on the noise and data that it came from, as a regression should: the variance of
    `noise - data` no longer enters by du/dt. Guidance with scale w: `v_g = v + (1 - 1/w) (u(z,t,t|c) - u(z,t,t|null))`.
    Pixel MeanFlow lets the network predict `x = z - t u`, so that `u = (z - x) / max(t, t_eps)`; the loss is the same.
    """

    def __init__(self, config: RegressionConfig, *, latent: LatentSpec):
        super().__init__(config, config.prediction, latent=latent)

    @abstractmethod
    def share(self, inputs: MeanFlowInputs) -> Tensor | None:
        """`1 - 1/w` [B], the share of the guided velocity that guidance makes up; None: nowhere any."""

    def target(self, inputs: MeanFlowInputs) -> Tensor:
        """v_g; where no sample has guidance the network is not asked."""
        share = self.share(inputs)
        if share is None:
            return inputs.velocity
        push = per_sample(share, inputs.velocity) * (inputs.v_cond - inputs.v_uncond)
        return inputs.unless_dropped(inputs.velocity + push)

    def tangent(self, inputs: MeanFlowInputs, target: Tensor) -> Tensor:
        return inputs.v_cond


class ImprovedMeanFlow(Regression):
    """With one guidance, which is fixed in training and not an input of the network."""

    config: ImprovedMeanFlowConfig

    def share(self, inputs: MeanFlowInputs) -> Tensor | None:
        """That of the scale inside the closed interval, 0 outside."""
        if self.config.scale == 1.0:
            return None
        t = inputs.times.t
        return (1 - 1 / self.config.scale) * ((t >= self.config.t_min) & (t <= self.config.t_max)).to(t.dtype)
