"""Collective operations of a run's processes. With one process they do not communicate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.nn.functional import all_gather as all_gather_with_gradient

from nanogen_core.errors import NanoGenError

T = TypeVar("T")


def world() -> int:
    """Return the number of processes."""
    return dist.get_world_size() if _initialized() else 1


def rank() -> int:
    """Return the index of this process, from 0."""
    return dist.get_rank() if _initialized() else 0


def all_gather(value: T) -> list[T]:
    """Return the values of all processes, in rank order, on every process."""
    if world() == 1:
        return [value]
    values: list[Any] = [None] * world()
    dist.all_gather_object(values, value)
    return values


def gather_rows(rows: Tensor) -> Tensor:
    """Return the rows [B, ...] of all processes in one tensor [world * B, ...], in rank order.

    Gradients flow back to the rows of every process. Losses that couple the samples of a batch need this function.
    Every process must have the same number of rows.
    """
    if world() == 1:
        return rows
    return torch.cat(all_gather_with_gradient(rows))  # type: ignore[no-untyped-call]


def split_indices(count: int) -> list[int]:
    """Return this process's share of the indices 0 ... count - 1.

    All shares have the same size, because sharded networks must be called equally often. If `count` is not a multiple
    of the number of processes, the last shares are filled up with indices from 0 on.
    """
    size = -(-count // world())
    return [index % count for index in range(rank() * size, (rank() + 1) * size)]


def broadcast_from_main(function: Callable[[], T]) -> T:
    """Call a function on the first process and return its result on all. A NanoGenError is raised on all."""
    boxed: list[Any] = [None]
    if rank() == 0:
        try:
            boxed = [function()]
        except NanoGenError as error:
            boxed = [error]
    if world() > 1:
        dist.broadcast_object_list(boxed)
    if isinstance(boxed[0], NanoGenError):
        raise boxed[0]
    result: T = boxed[0]
    return result


def mean(values: Tensor) -> Tensor:
    """Return the elementwise mean over the processes, computed in float64.

    A collective call; synchronises the device.
    """
    if world() == 1:
        return values
    total = values.double()
    dist.all_reduce(total)
    return (total / world()).to(values.dtype)


class StopAgreement:
    """Lets all processes agree to stop at the same step.

    The result of an all-reduce is read in the next call, so no step waits for it. It uses gloo on the CPU, so no device
    is synchronised.
    """

    def __init__(self) -> None:
        self._group = dist.new_group(backend="gloo") if world() > 1 else None
        self._requested = torch.zeros(1)
        self._pending: dist.Work | None = None

    def __call__(self, requested: bool) -> bool:
        """Return whether any process requested a stop in the previous call. With one process, return `requested`."""
        if self._group is None:
            return requested
        previous = self._result()
        self._requested = torch.tensor([float(requested)])
        self._pending = dist.all_reduce(self._requested, group=self._group, async_op=True)
        return previous

    def _result(self) -> bool:
        if self._pending is None:
            return False
        self._pending.wait()
        return bool(self._requested.item())


def _initialized() -> bool:
    return dist.is_available() and dist.is_initialized()
