"""Self-attention with normalised queries and keys, and the choice of its kernel."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nanogen_dit.layers import FusedLinear, RMSNorm
from nanogen_dit.linear import Linear
from nanogen_dit.rope import Rotation, rotate

#: (q, k, v) [B, heads, S, d] and a mask [B, 1, 1, S] of the keys, True where one is real, or None -> [B, heads, S, d]
Kernel = Callable[[Tensor, Tensor, Tensor, "Tensor | None"], Tensor]

WRITTEN_UP_TO = 512  # tokens; beyond, the scores no longer fit into a CPU's cache


def written(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """softmax(q k^T / sqrt(d)) v written out: has derivatives of every order and mode."""
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)  # [B, heads, S, S]
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    # softmax in float32: more exact, and on a CPU four times quicker than in bf16
    weights = scores.softmax(dim=-1, dtype=torch.promote_types(scores.dtype, torch.float32)).to(v.dtype)
    mixed: Tensor = weights @ v
    return mixed


def fused(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """torch's own kernel, flash attention where the device has it: a first derivative in reverse mode only."""
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)


def quicker(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """The quicker of the two. In bf16 on a CPU the fused kernel is five to seven times slower at 22 to 76 tokens."""
    on_slow_path = q.device.type == "cpu" and q.dtype == torch.bfloat16 and q.shape[-2] <= WRITTEN_UP_TO
    return (written if on_slow_path else fused)(q, k, v, mask)


def kernel_for(wanted: frozenset[str]) -> Kernel:
    """The kernel of a network of which the other parts want `wanted`: `jvp` asks for forward-mode derivatives."""
    return written if "jvp" in wanted else quicker


class Attention(nn.Module):
    """Multi-head self-attention; q, k and v are one matrix, q and k are RMS-normalised per head, then rotated."""

    def __init__(self, width: int, heads: int, kernel: Kernel):
        super().__init__()
        self.heads = heads
        self.kernel = kernel
        self.qkv = FusedLinear(width, width, parts=3)
        self.q_norm = RMSNorm(width // heads)
        self.k_norm = RMSNorm(width // heads)
        self.proj = Linear(width, width)

    def forward(self, x: Tensor, rotation: Rotation, mask: Tensor | None = None) -> Tensor:
        q, k, v = self.qkv(x).view(*x.shape[:2], 3, self.heads, -1).unbind(2)  # [B, S, heads, d] each
        q = rotate(self.q_norm(q), rotation).to(v.dtype).transpose(1, 2)  # [B, heads, S, d]
        k = rotate(self.k_norm(k), rotation).to(v.dtype).transpose(1, 2)  # [B, heads, S, d]
        mixed = self.kernel(q, k, v.transpose(1, 2), mask).transpose(1, 2).flatten(2)  # [B, S, width]
        out: Tensor = self.proj(mixed)
        return out
