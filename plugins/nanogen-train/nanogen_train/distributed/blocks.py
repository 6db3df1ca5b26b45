"""The repeated blocks of a network: the members of its outermost `nn.ModuleList`s. What is done block by block."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from torch import nn
from torch.utils.checkpoint import checkpoint


def blocks_of(net: nn.Module) -> Iterator[nn.Module]:
    """The blocks in order; lists within a block are a part of it."""
    for child in net.children():
        if isinstance(child, nn.ModuleList):
            yield from child
        else:
            yield from blocks_of(child)


def compile_blocks(net: nn.Module) -> None:
    """torch.compile for each block, which takes as long as for one of them; a network without blocks as a whole."""
    for block in list(blocks_of(net)) or [net]:
        block.compile()


def apply_activation_checkpointing(net: nn.Module) -> None:
    """Blocks forget what they computed and compute it again in the backward pass: a third more work, and memory for
    the inputs of blocks instead of all that is in them. Exact."""
    for block in blocks_of(net):
        block.forward = partial(checkpoint, block.forward, use_reentrant=False, preserve_rng_state=False)
