"""Contrastive flow matching (Stoica et al., arXiv 2506.05350), on the rectified flow of nanogen-flow."""

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
    """`|v - v_i|^2 - lambda |v - v_j|^2`: towards a sample's own velocity, and away from that of another sample.

    The least loss is at `(E[v_i] - lambda E[v_j]) / (1 - lambda)`: the flow, pushed away from the mean of all flows.
    With `calibrated`, sampling multiplies by `1 - lambda` what the network gives, so that guidance scales keep the
    meaning that they have for plain flows.
    """

    def __init__(self, config: ContrastiveFlowConfig, *, latent: LatentSpec):
        if latent.cls_token_width:
            raise NanoGenError("objective 'contrastive-flow' diffuses no class token: use objective='flow' with REG.")
        super().__init__(config, latent=latent)
        self.repulsion = config.repulsion
        self.sampled_scale = 1 - config.repulsion if config.calibrated else 1.0

    def loss(
        self, nets: Mapping[str, Network], clean: State, condition: Condition, null: Condition, rng: KeyedRNG
    ) -> Losses:
        """The batch mean, over the student's own prediction and those of its heads. A batch of one has no other sample.

        Rows whose condition was dropped are like any other, as in the paper.
        """
        forward_pass = self.forward_at(nets["student"], clean, self.noise(rng), self.times(rng), condition)
        own = self.target_velocity(clean, forward_pass.state, forward_pass.times.t).latent  # [B, C, h, w]
        other = own[negatives(rng)]  # [B, C, h, w]
        answers = {"flow": forward_pass.prediction.value, **forward_pass.prediction.heads}
        learnt = {name: state.latent / self.sampled_scale for name, state in answers.items()}
        pulls = {name: _error(velocity, own) for name, velocity in learnt.items()}
        pushes = {f"{name}-other": _error(velocity, other) for name, velocity in learnt.items()}
        repulsion = self.repulsion if len(own) > 1 else 0.0
        total = torch.stack([*pulls.values()]).sum() - repulsion * torch.stack([*pushes.values()]).sum()
        return Losses(total, {name: value.detach() for name, value in (pulls | pushes).items()}, forward_pass)

    def velocity(self, prediction: Prediction, state: State, times: Times) -> Prediction:
        """The velocities that are sampled, and that auxiliary losses see."""
        found = super().velocity(prediction, state, times)
        heads = {name: self._scaled(head) for name, head in found.heads.items()}
        return found._replace(value=self._scaled(found.value), heads=heads)

    def _scaled(self, state: State) -> State:
        return state.map(lambda v: self.sampled_scale * v)


def negatives(rng: KeyedRNG) -> Tensor:
    """For each slot the row of another one [B]: the next in an order that keyed numbers give, whatever the batch's."""
    order = rng.uniform("negative").argsort()  # [B]
    following = torch.empty_like(order)
    following[order] = order.roll(-1)
    return following


def _error(predicted: Tensor, target: Tensor) -> Tensor:
    return (predicted.float() - target.float()).square().mean()
