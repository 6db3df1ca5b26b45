"""Operations on the repeated blocks of a network: compilation, activation checkpointing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial

from torch import nn
from torch.utils.checkpoint import checkpoint


def blocks_of(net: nn.Module) -> list[nn.Module]:
    """Return the blocks of a network: the members of its outermost `nn.ModuleList`s, in order.

    A list inside a block is part of that block. A list or `nn.ModuleDict` directly inside a list has no `forward`, so
    its members are the blocks.
    """
    return list(_blocks(net, in_list=False))


def _blocks(module: nn.Module, *, in_list: bool) -> Iterator[nn.Module]:
    for child in module.children():
        if in_list and not isinstance(child, (nn.ModuleList, nn.ModuleDict)):
            yield child
        else:
            yield from _blocks(child, in_list=in_list or isinstance(child, nn.ModuleList))


def compile_blocks(net: nn.Module) -> None:
    """Compile each block with `torch.compile`, or the whole network if it has no blocks.

    Equal blocks share their compiled code, so this takes about as long as compiling one block.
    """
    for block in blocks_of(net) or [net]:
        block.compile()


def compile_autotuned(net: nn.Module) -> None:
    """Compile the whole network with measured kernels, and with CUDA graphs if it is trained.

    EMA networks sample: they are called many times between two training steps. Each call would record another CUDA
    graph.
    """
    trained = any(parameter.requires_grad for parameter in net.parameters())
    net.compile(mode="max-autotune" if trained else "max-autotune-no-cudagraphs")


#: Value of `train.compile` -> compiles a network in place.
COMPILERS: Mapping[str, Callable[[nn.Module], None]] = {
    "none": lambda net: None,
    "blocks": compile_blocks,
    "model": lambda net: net.compile(),
    "max-autotune": compile_autotuned,
}


def apply_activation_checkpointing(net: nn.Module, every: int = 1) -> None:
    """Recompute the activations of every n-th block in the backward pass (activation checkpointing).

    Keeps only the inputs of these blocks in memory. Recomputing all blocks increases the compute of a step by about a
    third. Gradients do not change: a block with dropout draws the same random numbers again.
    """
    for block in blocks_of(net)[every - 1 :: every]:
        block.forward = partial(checkpoint, block.forward, use_reentrant=False)
