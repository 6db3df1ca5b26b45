"""Kernels of attention with padded captions, forward and backward, on one layer of DDT-XL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from attrs import frozen
from torch import Tensor
from torch.nn.attention.flex_attention import create_block_mask, flex_attention

from nanogen_dit.fused_attention import fused_attention, plain_attention

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]  #: q, k, v [B, heads, S, d] -> [B, heads, S, d]


@frozen(kw_only=True)
class Shape:
    """Sizes of a layer: image tokens, and captions of `shortest` to `longest` tokens."""

    batch: int = 32
    heads: int = 16
    width: int = 72
    image: int = 256
    shortest: int = 20
    longest: int = 256


SMALL = Shape(batch=2, heads=2, width=16, image=16, shortest=2, longest=8)


def kernels(shape: Shape, device: str) -> dict[str, Attend]:
    """Return the kernels by name.

    "no mask" attends to the padding as well: it is the time that a kernel with a mask could reach.
    """
    lengths = torch.randint(shape.shortest, shape.longest + 1, (shape.batch, 1), device=device)
    keys = shape.image + shape.longest
    mask = torch.arange(keys, device=device) < shape.image + lengths  # [B, S]
    given = mask[:, None, None]
    found: dict[str, Attend] = {
        "no mask": lambda q, k, v: fused_attention(q, k, v, None),
        "mask": lambda q, k, v: fused_attention(q, k, v, given),
        "mask, tensor operations": lambda q, k, v: plain_attention(q, k, v, given),
    }
    if device == "cuda":
        found["mask, FlexAttention"] = _flex(mask)
        found["packed keys, varlen_attn"] = _varlen(mask)
    return found


def rows(shape: Shape, device: str, timed: Callable[[Callable[[], object], int], float]) -> Iterator[dict[str, Any]]:
    """Yield the milliseconds of forward and backward pass, and the largest difference from tensor operations."""
    torch.manual_seed(0)
    found = kernels(shape, device)
    keys = shape.image + shape.longest
    size = (3, shape.batch, shape.heads, keys, shape.width)
    q, k, v = (x.requires_grad_() for x in torch.randn(size, device=device, dtype=torch.bfloat16).unbind(0))
    expected = found["mask, tensor operations"](q, k, v).detach()
    for name, attend in found.items():
        try:
            out = attend(q, k, v)
            far = float((out.detach() - expected).abs().max())
            step = _step(attend, q, k, v)
            step()
            ms = timed(step, 10) / 10 * 1000
        except Exception as error:  # a kernel that this machine lacks costs its row only
            yield {"attention": name, "error": f"{type(error).__name__}: {error}"[:300]}
            continue
        yield {"attention": name, "ms": ms, "difference": far}


def _step(attend: Attend, q: Tensor, k: Tensor, v: Tensor) -> Callable[[], object]:
    return lambda: torch.autograd.grad(attend(q, k, v).sum(), (q, k, v))


def _flex(mask: Tensor) -> Attend:
    block_mask = create_block_mask(
        lambda batch, head, query, key: mask[batch, key], len(mask), None, mask.shape[1], mask.shape[1], mask.device
    )
    compiled = torch.compile(flex_attention)

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        out: Tensor = compiled(q, k, v, block_mask=block_mask)
        return out

    return attend


def _varlen(mask: Tensor) -> Attend:
    batch, keys = mask.shape
    zero = mask.new_zeros(1, dtype=torch.int32)
    ends_of_queries = torch.arange(batch + 1, device=mask.device, dtype=torch.int32) * keys
    ends_of_keys = torch.cat([zero, mask.sum(dim=1, dtype=torch.int32).cumsum(0, dtype=torch.int32)])
    used = mask.flatten().nonzero().flatten()

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        from torch.nn.attention.varlen import varlen_attn  # from torch 2.10 on

        flat_q, flat_k, flat_v = (x.transpose(1, 2).flatten(0, 1) for x in (q, k, v))  # [B * S, heads, d]
        out = varlen_attn(flat_q, flat_k[used], flat_v[used], ends_of_queries, ends_of_keys, keys, keys)
        return out.unflatten(0, (batch, keys)).transpose(1, 2)

    return attend
