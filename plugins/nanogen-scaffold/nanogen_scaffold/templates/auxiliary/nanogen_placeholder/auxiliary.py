"""An additional loss on the objective's forward pass: L1 distance between the predicted and the clean latent."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from nanogen_core.protocols import Backbone
from nanogen_core.randomness import KeyedRNG
from nanogen_core.tensors import Batch, ForwardPass, Losses, State
from nanogen_train import Auxiliary
from torch import Tensor

from nanogen_placeholder.config import PlaceholderConfig


class Placeholder(Auxiliary):
    """`config.weight` times the mean of |x0_predicted - x0|. Samples with t >= `config.below` count as 0.

    Set `intermediates`, `nets` or `needs_images` to use block outputs, to train further networks, or to read images.
    """

    def __init__(self, config: PlaceholderConfig):
        self.config = config

    def loss(
        self, forward_pass: ForwardPass, clean: State, batch: Batch, nets: Mapping[str, Backbone], rng: KeyedRNG
    ) -> Losses:
        """Return the weighted loss. The mean counts all samples, so micro-batches of equal size do not change it."""
        distance = (forward_pass.denoised.latent - clean.latent).abs().flatten(1).mean(dim=1)  # [B]
        loss = torch.where(earliest(forward_pass.times.t) < self.config.below, distance, 0.0).mean()
        return Losses(self.config.weight * loss, {"l1": loss.detach()})


def earliest(t: Tensor) -> Tensor:
    """Return the time [B] that sampling reaches first: `t` [B] itself, or the largest t of the tokens [B, N]."""
    return t if t.ndim == 1 else t.amax(dim=1)
