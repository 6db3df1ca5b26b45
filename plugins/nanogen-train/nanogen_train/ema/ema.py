"""Exponential moving average (EMA) of network weights."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy

import torch
from torch import Tensor, nn

from nanogen_train.distributed import dtensor


class EMA:
    """EMA of a network. `net` is a copy of the network with the averaged weights, in evaluation mode.

    Until the first update, both networks may be moved or sharded in the same way. Each process averages its shards.

    Args:
        source: The network to average.
        shared: Frozen parameters of `source` that `net` shares instead of copying, such as an adapter's base weights.
    """

    def __init__(self, source: nn.Module, shared: Iterable[nn.Parameter] = ()):
        self._shared = {id(parameter): parameter for parameter in shared}
        self.net = deepcopy(source, dict(self._shared)).eval().requires_grad_(False)
        self._source = source
        self._weights: tuple[list[Tensor], list[Tensor]] | None = None
        self._buffers: list[tuple[Tensor, Tensor]] = []

    @torch.no_grad()
    def update(self, decay: float) -> None:
        """Set the parameters of `net` to `decay * net + (1 - decay) * source`. Copies buffers from the source."""
        averaged, current = self._weights or self._collect()
        torch._foreach_lerp_(averaged, current, 1 - decay)
        for buffer, source_buffer in self._buffers:
            buffer.copy_(source_buffer)

    def averaged(self) -> dict[str, nn.Parameter]:
        """Return the averaged parameters of `net` by name."""
        return {name: p for name, p in self.net.named_parameters() if id(p) not in self._shared}

    def _collect(self) -> tuple[list[Tensor], list[Tensor]]:
        """Collect the weights of both networks once, because this takes longer than averaging a small network."""
        averaged, current = (
            dtensor.local_shards(p for p in net.parameters() if id(p) not in self._shared)
            for net in (self.net, self._source)
        )
        self._weights = averaged, current
        self._buffers = list(zip(self.net.buffers(), self._source.buffers(), strict=True))
        return self._weights
