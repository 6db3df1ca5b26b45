"""What the processes of one evaluation tell each other: over gloo, since what metrics keep lies on the CPU."""

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

PATIENCE = timedelta(days=30)  # the others wait while process 0 computes scores and intervals


def gather(metrics: Mapping[str, Metric], share: DataShard) -> None:
    """Process 0's metrics get what those of the others kept, in the order of the processes, one tensor at a time."""
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
    """Until all processes are here."""
    if share.world > 1:
        dist.barrier(_group())


def broadcast(value: Any, share: DataShard) -> Any:
    """What process 0 says: its `value`, in every process."""
    if share.world == 1:
        return value
    box = [value]
    dist.broadcast_object_list(box, 0, _group())
    return box[0]


def each(value: Any, share: DataShard) -> list[Any]:
    """What every process says, in their order: in every process."""
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
    """A gloo group of all processes, beside whatever a training uses."""
    if not dist.is_initialized():
        dist.init_process_group("gloo")
    process_group.destroy_at_exit()
    return dist.new_group(backend="gloo", timeout=PATIENCE)
