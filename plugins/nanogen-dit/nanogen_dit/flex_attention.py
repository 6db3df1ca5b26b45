"""FlexAttention with a key mask. torch.compile generates its kernel, which skips blocks of masked keys."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor
from torch.nn.attention import flex_attention as flex


def flex_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    """Compute attention of q, k, v [B, heads, S, d] with a key mask [B, 1, 1, S], with first-order derivatives."""
    # in a compiled network the kernel is part of its graph; the eager form would store all weights [B, heads, S, S]
    attend = _flex_attention if torch.compiler.is_compiling() else _compiled()
    return attend(q, k, v, mask)


def _flex_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    def attends(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return mask[batch, 0, 0, key]

    blocks = flex.create_block_mask(attends, len(q), None, q.shape[-2], k.shape[-2], q.device)
    out: Tensor = flex.flex_attention(q, k, v, block_mask=blocks)
    return out


@cache
def _compiled() -> Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]:
    return torch.compile(_flex_attention)  # on first use, because the compiler takes seconds to load
