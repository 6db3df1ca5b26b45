"""Dispersive loss (Wang and He, arXiv 2506.09027), the variant InfoNCE with L2 distances."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from nanogen_core.protocols import Backbone
from nanogen_core.randomness import KeyedRNG
from nanogen_core.tensors import Batch, ForwardPass, Losses, State
from nanogen_selfsupervised.config import DispersiveConfig
from nanogen_train.distributed.blocks import blocks_of
from nanogen_train.distributed.processes import gather_rows
from nanogen_train.protocols import Auxiliary


class Dispersive(Auxiliary):
    """`weight * log mean_ij exp(-D_ij / tau)` with the mean squared difference D_ij of block outputs i and j.

    The mean includes i = j, as in the paper. The loss couples the samples of a micro-batch, or with `gather` the
    samples of all processes. It is 0 for a single sample.

    Args:
        config: Options of the loss.
        backbone: The backbone. Its depth determines the default block.
    """

    def __init__(self, config: DispersiveConfig, *, backbone: nn.Module):
        self.config = config
        number = max(1, len(blocks_of(backbone)) // 4) if config.block is None else config.block
        self.intermediates = (f"block.{number}",)

    def loss(
        self, forward_pass: ForwardPass, clean: State, batch: Batch, nets: Mapping[str, Backbone], rng: KeyedRNG
    ) -> Losses:
        """Return the weighted loss, and the unweighted one as the part "dispersion"."""
        tokens = forward_pass.prediction.features[self.intermediates[0]]  # [B, N, width]
        rows = gather_rows(tokens) if self.config.gather else tokens
        dispersion = log_mean_exp(-mean_squares(rows.flatten(1)) / self.config.tau)
        return Losses(self.config.weight * dispersion, {"dispersion": dispersion.detach()})


def mean_squares(rows: Tensor) -> Tensor:
    """Return the mean squared differences [B, B] of all pairs of rows [B, K], in float32 also under autocast."""
    with torch.autocast(rows.device.type, enabled=False):
        rows = rows.float()
        rows = rows - rows.mean(dim=0)  # the differences are the same, and the rounding errors smaller
        squares = rows.square().sum(dim=1)  # [B]
        pairs = (squares[:, None] + squares - 2 * rows @ rows.T) / rows.shape[1]
    return pairs.clamp(min=0).masked_fill(torch.eye(len(rows), dtype=torch.bool, device=rows.device), 0.0)


def log_mean_exp(values: Tensor) -> Tensor:
    """Return `log(mean(exp(values)))` over all values: []."""
    return values.flatten().logsumexp(dim=0) - math.log(values.numel())
