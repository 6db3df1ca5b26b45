"""Self-attention with normalised queries and keys, and its kernels."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils._python_dispatch import is_in_torch_dispatch_mode

from nanogen_core.errors import Incompatible, NanoGenError
from nanogen_dit.flex_attention import flex_attention
from nanogen_dit.fused_attention import TwiceDifferentiable, fused_attention, plain_attention
from nanogen_dit.layers import FusedLinear, RMSNorm
from nanogen_dit.linear import Linear
from nanogen_dit.rope import Rotation, rotate

#: q, k, v [B, heads, S, d] and a key mask [B, 1, 1, S] (True: attend) or None -> [B, heads, S, d]
Kernel = Callable[[Tensor, Tensor, Tensor, "Tensor | None"], Tensor]

PLAIN_MAX_TOKENS = 512  # with more tokens the scores do not fit into a CPU's cache
FLEX_DEVICES = ("cuda",)  # types of devices on which FlexAttention has a gradient


def auto(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """Compute attention with tensor operations for up to 512 tokens in bf16 on a CPU, else with the fused kernel.

    In bf16 on a CPU the fused kernel took five to seven times as long as tensor operations, at 22 to 76 tokens.
    """
    is_plain = q.device.type == "cpu" and q.dtype == torch.bfloat16 and q.shape[-2] <= PLAIN_MAX_TOKENS
    return (plain_attention if is_plain else fused_attention)(q, k, v, mask)


def differentiable(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """Compute attention with derivatives of every order and mode. On a GPU the forward pass is fused.

    Under torch.compile this uses tensor operations: the compiler fuses them itself, and does not support forward-mode
    derivatives of custom functions.
    """
    if q.device.type == "cpu" or torch.compiler.is_compiling():
        return plain_attention(q, k, v, mask)
    out: Tensor = TwiceDifferentiable.apply(q, k, v, mask)  # type: ignore[no-untyped-call]
    return out


def flex(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """Compute attention with a mask by FlexAttention on a CUDA GPU, and all other attention as `auto` does.

    FlexAttention is invisible to dispatch modes, so the step that counts FLOPs, like `nanogen plan`, counts those of
    `auto`.

    Raises:
        NanoGenError: Attention with a mask needs a gradient on another device.
    """
    if mask is None or isinstance(q, FakeTensor):
        return auto(q, k, v, mask)
    if q.device.type not in FLEX_DEVICES and q.requires_grad:
        raise NanoGenError(
            f"FlexAttention trains on CUDA GPUs only, but this network trains on the device {q.device.type!r}. Set"
            " backbone.masked_attention: fused."
        )
    counted = not torch.compiler.is_compiling() and is_in_torch_dispatch_mode()
    if counted or q.device.type not in FLEX_DEVICES:
        return auto(q, k, v, mask)
    return flex_attention(q, k, v, mask)


def kernel_for(wanted: frozenset[str], masked_attention: str = "fused") -> Kernel:
    """Return the kernel: `differentiable` if `wanted` contains "jvp" (MeanFlow's derivative), else `auto` or `flex`.

    Args:
        wanted: Needed capabilities of the network.
        masked_attention: Kernel of attention with a mask: "fused" or "flex".

    Raises:
        Incompatible: FlexAttention cannot compute a needed derivative.
    """
    if masked_attention == "flex" and "jvp" in wanted:
        raise Incompatible(
            "backbone.masked_attention: FlexAttention has first-order derivatives only, and the objective needs du/dt."
            " Use `masked_attention: fused`."
        )
    if masked_attention == "flex":
        return flex
    return differentiable if "jvp" in wanted else auto


class Attention(nn.Module):
    """Multi-head self-attention with QK normalisation and rotary embedding.

    q, k and v come from one matrix. q and k are RMS-normalised per head, then rotated.

    Args:
        width: Width of the tokens.
        heads: Number of heads. It divides `width`.
        kernel: Computes attention from q, k and v.
    """

    def __init__(self, width: int, heads: int, kernel: Kernel):
        super().__init__()
        self.heads = heads
        self.kernel = kernel
        self.qkv = FusedLinear(width, width, parts=3)
        self.q_norm = RMSNorm(width // heads)
        self.k_norm = RMSNorm(width // heads)
        self.proj = Linear(width, width)

    def forward(self, x: Tensor, rotation: Rotation, mask: Tensor | None = None) -> Tensor:
        """Map tokens [B, S, width] to [B, S, width]. `mask` [B, 1, 1, S] is False at keys to ignore."""
        q, k, v = self.qkv(x).view(*x.shape[:2], 3, self.heads, -1).unbind(2)  # [B, S, heads, d] each
        q = rotate(self.q_norm(q), rotation).to(v.dtype).transpose(1, 2)  # [B, heads, S, d]
        k = rotate(self.k_norm(k), rotation).to(v.dtype).transpose(1, 2)  # [B, heads, S, d]
        mixed = self.kernel(q, k, v.transpose(1, 2), mask).transpose(1, 2).flatten(2)  # [B, S, width]
        out: Tensor = self.proj(mixed)
        return out
