"""The exponential moving average of a network's weights."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import nn

from nanogen_core.training import placement


def frozen_copy(net: nn.Module) -> nn.Module:
    """A copy in evaluation mode that no optimiser moves."""
    return deepcopy(net).eval().requires_grad_(False)


@torch.no_grad()
def update(average: nn.Module, net: nn.Module, decay: float) -> None:
    """average <- decay * average + (1 - decay) * net, for all parameters in one call; buffers are copied.

    Networks that are shared out over processes are averaged share by share: both must be shared out alike.
    """
    torch._foreach_lerp_(placement.local(average.parameters()), placement.local(net.parameters()), 1 - decay)
    for mine, theirs in zip(average.buffers(), net.buffers(), strict=True):
        mine.copy_(theirs)
