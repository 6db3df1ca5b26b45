"""Contrastive flow matching (Stoica et al., arXiv 2506.05350), based on the rectified flow of nanogen-flow."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from contrastive_nanogen.config import ContrastiveFlowConfig
from nanogen_core.errors import NanoGenError
from nanogen_core.protocols import Network
from nanogen_core.randomness import KeyedRNG
from nanogen_core.specs import LatentSpec
from nanogen_core.tensors import Condition, Losses, Prediction, State, Times
from nanogen_flow.objective import Flow


class ContrastiveFlow(Flow):
    """The loss `|v - v_i|^2 - lambda |v - v_j|^2` of a prediction v.

    v_i is the velocity of the sample, and v_j that of another sample of the batch. The minimum is at
    `(E[v_i] - lambda E[v_j]) / (1 - lambda)`. With `calibrated`, sampled velocities are multiplied by `1 - lambda`.
    """

    def __init__(self, config: ContrastiveFlowConfig, *, latent: LatentSpec):
        if latent.cls_token_width:
            raise NanoGenError("The objective 'contrastive-flow' has no class token. Set `objective: flow` for REG.")
        super().__init__(config, latent=latent)
        self.repulsion = config.repulsion
        self.sampled_scale = 1 - config.repulsion if config.calibrated else 1.0

    def loss(
        self, nets: Mapping[str, Network], clean: State, condition: Condition, null: Condition, rng: KeyedRNG
    ) -> Losses:
        """Return the loss of the student and its heads, averaged over the batch. A batch of one has no repulsion.

        As in the paper, samples with a dropped condition are treated like any other.
        """
        forward_pass = self.forward_at(nets["student"], clean, self.noise(rng), self.times(rng), condition)
        own = self.target_velocity(clean, forward_pass.state, forward_pass.times.t).latent  # [B, C, h, w]
        other = own[negatives(rng)]  # [B, C, h, w]
        outputs = {"flow": forward_pass.prediction.value, **forward_pass.prediction.heads}
        predicted = {name: state.latent / self.sampled_scale for name, state in outputs.items()}
        positive = {name: _error(velocity, own) for name, velocity in predicted.items()}
        negative = {f"{name}-other": _error(velocity, other) for name, velocity in predicted.items()}
        repulsion = self.repulsion if len(own) > 1 else 0.0
        total = torch.stack([*positive.values()]).sum() - repulsion * torch.stack([*negative.values()]).sum()
        return Losses(total, {name: value.detach() for name, value in (positive | negative).items()}, forward_pass)

    def velocity(self, prediction: Prediction, state: State, times: Times) -> Prediction:
        """Return the velocities for sampling and auxiliary losses."""
        found = super().velocity(prediction, state, times)
        heads = {name: self._scaled(head) for name, head in found.heads.items()}
        return found._replace(value=self._scaled(found.value), heads=heads)

    def _scaled(self, state: State) -> State:
        return state.map(lambda v: self.sampled_scale * v)


def negatives(rng: KeyedRNG) -> Tensor:
    """Return the row of another sample for each sample [B]: the next one in a random order that `rng` gives."""
    order = rng.uniform("negative").argsort()  # [B]
    following = torch.empty_like(order)
    following[order] = order.roll(-1)
    return following


def _error(predicted: Tensor, target: Tensor) -> Tensor:
    return (predicted.float() - target.float()).square().mean()
