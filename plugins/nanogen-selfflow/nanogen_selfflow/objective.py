"""Flow matching with two times per sample (Self-Flow, Chefer, Esser et al., arXiv 2603.06507)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nanogen_align.probe import intermediate_shape
from nanogen_core.errors import Incompatible
from nanogen_core.randomness import KeyedRNG
from nanogen_core.specs import ConditionSpec, LatentSpec
from nanogen_flow.objective import Flow
from nanogen_selfflow.config import SelfFlowConfig
from nanogen_selfflow.messages import NO_CLS_TOKEN


class SelfFlow(Flow):
    """Flow matching with dual-timestep scheduling.

    Each sample has two independent times t and s of the same distribution. A random part of the image tokens
    (`mask_ratio`) is noised to s, the other tokens to t: `x_i = (1 - t_i) data_i + t_i noise_i`. The network receives
    the time of each token. The loss is the flow-matching loss. The time of a single token has the same distribution as
    in flow matching. Sampling uses one time for all tokens.

    Args:
        config: Options of the objective.
        latent: Shape of the latents. It must have no class token.
        backbone: The backbone. Its token grid is the grid of the times.
        condition: Shape of the condition.

    Attributes:
        tokens: Number of image tokens of the backbone, N.

    Raises:
        Incompatible: `latent` has a class token, or the backbone has fewer than two image tokens.
    """

    config: SelfFlowConfig

    def __init__(self, config: SelfFlowConfig, *, latent: LatentSpec, backbone: nn.Module, condition: ConditionSpec):
        if latent.cls_token_width:
            raise Incompatible(NO_CLS_TOKEN)
        super().__init__(config, latent=latent)
        self.tokens, _ = intermediate_shape(backbone, "block.1", latent, condition)
        if self.tokens < 2:
            raise Incompatible("Self-Flow needs at least two image tokens. Decrease `backbone.patch_size`.")

    def times(self, rng: KeyedRNG) -> Tensor:
        """Draw the time of each token [B, N], tokens in row-major order.

        Each sample has two times, both distributed as in flow matching.
        """
        normal = torch.stack([rng.normal("time", ()), rng.normal("self-flow.time", ())])
        first, second = self.times_of(normal)
        return torch.where(self.mask(rng), second[:, None], first[:, None])

    def mask(self, rng: KeyedRNG) -> Tensor:
        """Draw the bool mask [B, N] of the tokens with the second time. Their number is the same in every sample."""
        count = min(max(1, round(self.config.mask_ratio * self.tokens)), self.tokens - 1)
        order = rng.uniform("self-flow.mask", (self.tokens,)).argsort(dim=1)
        return torch.zeros_like(order, dtype=torch.bool).scatter(1, order[:, :count], True)
