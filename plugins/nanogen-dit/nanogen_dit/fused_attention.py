"""Attention in three forms: tensor operations, torch's fused kernel, and a fused form with all derivatives."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

ALIGNMENT = 16  # keys; the memory-efficient CUDA kernel copies a mask of any other length to [B, heads, S, S]


def plain_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """Compute `softmax(q k^T / sqrt(d)) v` by tensor operations, which have derivatives of every order and mode."""
    weights = _weights(q, k, mask).to(v.dtype)
    mixed: Tensor = weights @ v
    return mixed


def fused_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """Compute attention by `F.scaled_dot_product_attention`. The kernel has first-order reverse-mode derivatives only.

    With a mask on a GPU, keys are padded with masked zeros to a multiple of 16. For other lengths, the memory-efficient
    kernel would copy the mask to [B, heads, S, S].
    """
    missing = -k.shape[-2] % ALIGNMENT
    if mask is not None and missing and q.device.type == "cuda":
        k, v, mask = padded_keys(k, v, mask, missing)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)


def padded_keys(k: Tensor, v: Tensor, mask: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Append `count` masked zeros to keys and values [B, heads, S, d] and to their mask [B, 1, 1, S]."""
    rows = (0, 0, 0, count)
    return F.pad(k, rows), F.pad(v, rows), F.pad(mask, (0, count), value=False)


class TwiceDifferentiable(torch.autograd.Function):
    """Attention whose forward pass, and backward pass without `create_graph`, use the fused kernel.

    The kernel has no second derivatives and no forward-mode derivatives. Tensor operations compute these from q, k, v.
    `apply(q, k, v, mask)` takes [B, heads, S, d] each and a key mask [B, 1, 1, S] or None.
    """

    @staticmethod
    def forward(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        return fused_attention(q, k, v, mask)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        q, k, v, ctx.mask = inputs
        ctx.save_for_backward(q, k, v)
        ctx.save_for_forward(q, k, v)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        if torch.is_grad_enabled():  # with create_graph=True
            q, k, v = ctx.saved_tensors
            out = plain_attention(q, k, v, ctx.mask)
            return *torch.autograd.grad(out, (q, k, v), gradient, create_graph=True), None
        q, k, v = (tensor.detach().requires_grad_() for tensor in ctx.saved_tensors)
        with torch.enable_grad():
            out = fused_attention(q, k, v, ctx.mask)
        return *torch.autograd.grad(out, (q, k, v), gradient), None

    @staticmethod
    def jvp(ctx: Any, of_q: Tensor, of_k: Tensor, of_v: Tensor, of_mask: None) -> Tensor:
        """Return dO = (P * (dS - rowsum(P * dS))) v + P dv for O = P v, P = softmax(S) and S = q k^T / sqrt(d)."""
        q, k, v = ctx.saved_tensors
        weights = _weights(q, k, ctx.mask)
        scale = q.shape[-1] ** -0.5
        of_scores = (of_q @ k.transpose(-2, -1) + q @ of_k.transpose(-2, -1)) * scale  # [B, heads, S, S]
        products = weights * of_scores
        of_weights = products - weights * products.sum(dim=-1, keepdim=True)
        tangent: Tensor = of_weights.to(v.dtype) @ v + weights.to(v.dtype) @ of_v
        return tangent


def _weights(q: Tensor, k: Tensor, mask: Tensor | None) -> Tensor:
    """Return the attention weights [B, heads, S, S], in float32 or better."""
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    # softmax in float32: more accurate, and four times faster than in bf16 on a CPU
    weights: Tensor = scores.softmax(dim=-1, dtype=torch.promote_types(scores.dtype, torch.float32))
    return weights
