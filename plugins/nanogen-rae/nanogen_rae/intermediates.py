"""Records outputs of chosen modules during a forward pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from torch import Tensor, nn


@contextmanager
def intermediates_of(modules: Sequence[nn.Module]) -> Iterator[list[Tensor]]:
    """Context manager that yields a list, to which a forward pass appends the modules' outputs in execution order."""
    outputs: list[Tensor] = []

    def record(module: nn.Module, arguments: object, output: Tensor) -> None:
        outputs.append(output)

    handles = [module.register_forward_hook(record) for module in modules]
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()
