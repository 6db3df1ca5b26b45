"""Contrastive flow matching (Stoica et al., arXiv 2506.05350), based on the rectified flow of nanogen-flow."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from nanogen_core.protocols import Network
from nanogen_core.randomness import KeyedRNG
from nanogen_core.specs import LatentSpec
from nanogen_core.tensors import Condition, Losses, Prediction, State, Times
from nanogen_flow.objective import Flow
from nanogen_selfsupervised.config import ContrastiveFlowConfig


class ContrastiveFlow(Flow):
    """The loss `|v - v_i|^2 - lambda |v - v_j|^2` of a prediction v.

    v_i is the velocity of the sample, and v_j the velocity of another sample of the micro-batch. The minimum is at
    `(E[v_i | x_t] - lambda E[v_j]) / (1 - lambda)`. With `calibrated`, the result of `velocity` is
    multiplied by `1 - lambda`. The class token (REG) is neither repelled nor calibrated.

    Args:
        config: Options of the objective.
        latent: Shape of the latents.
    """

    def __init__(self, config: ContrastiveFlowConfig, *, latent: LatentSpec):
        super().__init__(config, latent=latent)
        self.repulsion = config.repulsion
        self.sampled_scale = 1 - config.repulsion if config.calibrated else 1.0

    def loss(
        self, nets: Mapping[str, Network], clean: State, condition: Condition, null: Condition, rng: KeyedRNG
    ) -> Losses:
        """Return the loss of the student and its heads, averaged over the batch. A batch of one has no repulsion.

        As in the authors' code, samples with a dropped condition are treated like any other.
        """
        forward_pass = self.forward_at(nets["student"], clean, self.noise(rng), self.times(rng), condition)
        learnt = _scaled(forward_pass.prediction, 1 / self.sampled_scale)
        errors = self.errors(forward_pass._replace(prediction=learnt), clean)
        own = {name: values.mean() for name, values in errors.items()}
        target = self.target_velocity(clean, forward_pass.state, forward_pass.times.t).latent[negatives(rng)]
        others = {name: _error(state, target) for name, state in {"flow": learnt.value, **learnt.heads}.items()}
        repulsion = self.repulsion if len(target) > 1 else 0.0
        terms = [self._weight(name) * value for name, value in own.items()]
        terms += [-repulsion * self._weight(name) * value for name, value in others.items()]
        parts = own | {f"{name}-other": value for name, value in others.items()}
        return Losses(torch.stack(terms).sum(), {n: value.detach() for n, value in parts.items()}, forward_pass)

    def velocity(self, prediction: Prediction, state: State, times: Times) -> Prediction:
        """Return the velocities for sampling and auxiliary losses, multiplied by `1 - lambda` with `calibrated`."""
        return _scaled(super().velocity(prediction, state, times), self.sampled_scale)


def negatives(rng: KeyedRNG) -> Tensor:
    """Return the index [B] of another sample for each sample: the next one in a random order drawn from `rng`."""
    order = rng.uniform("negative").argsort()  # [B]
    following = torch.empty_like(order)
    following[order] = order.roll(-1)
    return following


def _scaled(prediction: Prediction, scale: float) -> Prediction:
    """Multiply the latents of the value and of the heads."""
    value, *heads = (
        state._replace(latent=scale * state.latent) for state in (prediction.value, *prediction.heads.values())
    )
    return prediction._replace(value=value, heads=dict(zip(prediction.heads, heads, strict=True)))


def _error(predicted: State, target: Tensor) -> Tensor:
    return (predicted.latent.float() - target.float()).square().mean()
