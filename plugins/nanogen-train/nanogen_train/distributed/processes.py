"""What the processes of one run tell each other beside gradients. One process alone talks to nobody."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from nanogen_core.errors import NanoGenError

Answer = TypeVar("Answer")


def world() -> int:
    """How many processes there are."""
    return dist.get_world_size() if _together() else 1


def rank() -> int:
    """The number of this process, from 0."""
    return dist.get_rank() if _together() else 0


def gathered(value: Answer) -> list[Answer]:
    """The value of each process, in their order, on all of them."""
    if world() == 1:
        return [value]
    values: list[Any] = [None] * world()
    dist.all_gather_object(values, value)
    return values


def places(count: int) -> list[int]:
    """The places of `count` that fall to this process: equally many to each, so that nets that are shared out are
    called equally often. Those of all processes in turn begin with 0 ... count - 1; what is over starts again at 0."""
    size = -(-count // world())
    return [place % count for place in range(rank() * size, (rank() + 1) * size)]


def from_main(function: Callable[[], Answer]) -> Answer:
    """What the first process's call returns, on all of them; a NanoGenError that it raises is raised on all of them."""
    box: list[Any] = [None]
    if rank() == 0:
        try:
            box = [function()]
        except NanoGenError as error:
            box = [error]
    if world() > 1:
        dist.broadcast_object_list(box)
    if isinstance(box[0], NanoGenError):
        raise box[0]
    answer: Answer = box[0]
    return answer


def mean(values: Tensor) -> Tensor:
    """The mean of each number over the processes, in float64: a collective call, which waits for the device."""
    if world() == 1:
        return values
    total = values.double()
    dist.all_reduce(total)
    return (total / world()).to(values.dtype)


class Agreement:
    """Whether any process was asked to stop: the same answer on all of them, at the same step.

    A question is answered at the next call, so that no step waits for it; it travels between processors, and no
    device is synchronised.
    """

    def __init__(self) -> None:
        self._group = dist.new_group(backend="gloo") if world() > 1 else None
        self._asked = torch.zeros(1)
        self._pending: dist.Work | None = None

    def __call__(self, asked: bool) -> bool:
        """Whether a process was `asked` before its last call (alone: by now)."""
        if self._group is None:
            return asked
        before = self._answer()
        self._asked = torch.tensor([float(asked)])
        self._pending = dist.all_reduce(self._asked, group=self._group, async_op=True)
        return before

    def _answer(self) -> bool:
        if self._pending is None:
            return False
        self._pending.wait()
        return bool(self._asked.item())


def _together() -> bool:
    return dist.is_available() and dist.is_initialized()
