"""The products of a step alone: matrix products and attention, repeated on the same operands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from nanogen_train.logging.flops import FlopCount


class Products(TorchDispatchMode):
    """Record the operators with FLOPs (matrix products, attention) that run inside the context, with their operands.

    `repeat()` runs them again, in the same order and with the same library, and nothing else.
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Callable[[], object]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        with FlopCount() as count:
            out = func(*args, **kwargs)
        if count.with_gradient + count.without_gradient:
            kept, named = tree_map_only(torch.Tensor, torch.Tensor.detach, (args, kwargs))
            self.calls.append(lambda: func(*kept, **named))
        return out

    @torch.no_grad()
    def repeat(self) -> None:
        """Run the recorded operators."""
        for call in self.calls:
            call()
