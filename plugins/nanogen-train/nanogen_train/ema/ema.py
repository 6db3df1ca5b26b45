"""The exponential moving average of a network's weights."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn

from nanogen_train.distributed import dtensor


class EMA:
    """Follows a network: `net` is a copy of it, in evaluation mode, that no optimiser moves.

    The two may be moved or shared out over processes, alike, until the first update: it averages share by share.
    """

    def __init__(self, followed: nn.Module):
        self.net = deepcopy(followed).eval().requires_grad_(False)
        self._followed = followed
        self._weights: tuple[list[Tensor], list[Tensor]] | None = None
        self._buffers: list[tuple[Tensor, Tensor]] = []

    @torch.no_grad()
    def update(self, decay: float) -> None:
        """net <- decay * net + (1 - decay) * followed, for all parameters in one call; buffers are copied."""
        mine, theirs = self._weights or self._found()
        torch._foreach_lerp_(mine, theirs, 1 - decay)
        for buffer, source in self._buffers:
            buffer.copy_(source)

    def _found(self) -> tuple[list[Tensor], list[Tensor]]:
        """The weights of both, looked for once: that takes longer than to average those of a small network."""
        mine, theirs = (dtensor.local(net.parameters()) for net in (self.net, self._followed))
        self._weights = mine, theirs
        self._buffers = list(zip(self.net.buffers(), self._followed.buffers(), strict=True))
        return self._weights
