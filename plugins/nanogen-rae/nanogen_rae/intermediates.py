"""What chosen blocks of a network give during one forward pass, whatever the network itself returns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from torch import Tensor, nn


@contextmanager
def intermediates_of(modules: Sequence[nn.Module]) -> Iterator[list[Tensor]]:
    """A list that holds the modules' outputs, in the order in which they ran, after the forward pass in the block."""
    outputs: list[Tensor] = []

    def note(module: nn.Module, arguments: object, output: Tensor) -> None:
        outputs.append(output)

    handles = [module.register_forward_hook(note) for module in modules]
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()
