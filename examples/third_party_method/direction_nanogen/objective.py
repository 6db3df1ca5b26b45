"""Flow matching with a loss of the velocity's direction (FasterDiT, arXiv 2410.10356), based on nanogen-flow."""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor

from direction_nanogen.config import DirectionFlowConfig
from nanogen_core.protocols import Network
from nanogen_core.randomness import KeyedRNG
from nanogen_core.specs import LatentSpec
from nanogen_core.tensors import Condition, Losses, State
from nanogen_flow.objective import Flow


class DirectionFlow(Flow):
    """The loss `|v - v_i|^2 + w (1 - cos(v, v_i))` of a prediction v, with the velocity v_i of the sample."""

    def __init__(self, config: DirectionFlowConfig, *, latent: LatentSpec):
        super().__init__(config, latent=latent)
        self.weight = config.direction

    def loss(
        self, nets: Mapping[str, Network], clean: State, condition: Condition, null: Condition, rng: KeyedRNG
    ) -> Losses:
        """Return the loss of the flow plus that of the direction, averaged over the batch."""
        losses = super().loss(nets, clean, condition, null, rng)
        forward_pass = losses.forward_pass
        assert forward_pass is not None
        target = self.target_velocity(clean, forward_pass.state, forward_pass.times.t)
        direction = direction_error(forward_pass.prediction.value.latent, target.latent)
        parts = {**losses.parts, "direction": direction.detach()}
        return losses._replace(total=losses.total + self.weight * direction, parts=parts)


def direction_error(predicted: Tensor, target: Tensor) -> Tensor:
    """Return 1 minus the cosine between the channels of latents [B, C, h, w], averaged over all cells: []."""
    return 1 - F.cosine_similarity(predicted.float(), target.float(), dim=1).mean()
