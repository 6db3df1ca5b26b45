"""Optimisers as components: each makes a torch optimiser for the named parameters of one phase."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from nanogen_core.training.optimizer_settings import AdamWConfig

FUSED_DEVICES = ("cpu", "cuda", "mps", "xpu")  # where torch has a fused kernel for AdamW


class AdamW:
    """AdamW (Loshchilov and Hutter, arXiv 1711.05101)."""

    def __init__(self, config: AdamWConfig):
        self.config = config

    def build(self, parameters: Sequence[tuple[str, nn.Parameter]]) -> torch.optim.Optimizer:
        """The optimiser of these parameters; its learning rate is then scaled by the schedule at every step."""
        tensors = [tensor for _, tensor in parameters if tensor.requires_grad]
        return torch.optim.AdamW(
            tensors,
            lr=self.config.lr,
            betas=(self.config.beta1, self.config.beta2),
            eps=self.config.eps,
            weight_decay=self.config.weight_decay,
            fused=all(tensor.device.type in FUSED_DEVICES for tensor in tensors),
        )
