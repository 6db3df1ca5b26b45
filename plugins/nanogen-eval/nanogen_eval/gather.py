"""Communication between the processes of one evaluation. Uses gloo, because metric states are on the CPU."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from functools import lru_cache
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from nanogen_data import process_group
from nanogen_data.loader import DataShard
from nanogen_eval.protocols import Metric

TIMEOUT = timedelta(days=30)  # other ranks wait while rank 0 computes scores and intervals


def gather(metrics: Mapping[str, Metric], share: DataShard) -> None:
    """Merge the metric states of all ranks into the metrics of rank 0, in rank order."""
    if share.world == 1:
        return
    for metric in metrics.values():
        state = metric.state()
        listed: list[Any] = [None] * share.world
        dist.all_gather_object(listed, [(key, value.dtype, value.shape) for key, value in state.items()], _group())
        if share.rank:
            for value in state.values():
                dist.send(value.contiguous(), 0, _group())
        else:
            for sender in range(1, share.world):
                metric.merge({key: _received(kind, shape, sender) for key, kind, shape in listed[sender]})


def wait(share: DataShard) -> None:
    """Wait until all processes reach this call."""
    if share.world > 1:
        dist.barrier(_group())


def broadcast(value: Any, share: DataShard) -> Any:
    """Return rank 0's `value` on every rank."""
    if share.world == 1:
        return value
    box = [value]
    dist.broadcast_object_list(box, 0, _group())
    return box[0]


def all_gather(value: Any, share: DataShard) -> list[Any]:
    """Return the values of all ranks, in rank order, on every rank."""
    if share.world == 1:
        return [value]
    listed: list[Any] = [None] * share.world
    dist.all_gather_object(listed, value, _group())
    return listed


def _received(kind: torch.dtype, shape: torch.Size, sender: int) -> Tensor:
    value = torch.empty(shape, dtype=kind)
    dist.recv(value, sender, _group())
    return value


@lru_cache(maxsize=1)
def _group() -> Any:
    """Gloo group of all processes, separate from the group of a training."""
    if not dist.is_initialized():
        dist.init_process_group("gloo")
    process_group.destroy_at_exit()
    return dist.new_group(backend="gloo", timeout=TIMEOUT)
