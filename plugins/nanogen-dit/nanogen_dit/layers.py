"""The small layers: a linear map as the papers initialise it, RMSNorm, SwiGLU, adaLN's modulation."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nanogen_core.linear import Linear

EPS = 1e-6
EMBEDDING_STD = 0.02


def linear(inputs: int, outputs: int, *, parts: int = 1, bias: bool = True) -> nn.Linear:
    """A linear map, Xavier-uniform with zero bias. `parts` maps fused into one are initialised each as its own."""
    layer = Linear(inputs, outputs, bias=bias)
    for part in layer.weight.chunk(parts):
        nn.init.xavier_uniform_(part)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer


def zero_linear(inputs: int, outputs: int) -> nn.Linear:
    """A linear map that starts as zero: the output layers and the adaLN maps."""
    layer = Linear(inputs, outputs)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def embedding_linear(inputs: int, outputs: int, *, bias: bool = True) -> nn.Linear:
    """A linear map that starts as normal(0.02): the time MLP and the class embedding."""
    layer = Linear(inputs, outputs, bias=bias)
    nn.init.normal_(layer.weight, std=EMBEDDING_STD)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer


def learned_tokens(count: int, width: int) -> nn.Parameter:
    """Learned tokens [count, width], normal(0.02)."""
    return nn.Parameter(torch.randn(count, width) * EMBEDDING_STD)


class RMSNorm(nn.Module):
    """`x / sqrt(mean(x^2) + 1e-6) * weight` over the last dimension, in float32 even under autocast."""

    def __init__(self, width: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        x = x.to(torch.promote_types(x.dtype, torch.float32))
        return F.rms_norm(x, self.weight.shape, self.weight.to(x.dtype), EPS)


class SwiGLU(nn.Module):
    """`w3(silu(w1 x) * w2 x)`; w1 and w2 are one matrix. The inner width `int(2/3 * ratio * width)` is not rounded."""

    def __init__(self, width: int, ratio: float):
        super().__init__()
        inner = int(2 / 3 * ratio * width)
        self.w12 = linear(width, 2 * inner, parts=2)
        self.w3 = linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        gate, value = self.w12(x).chunk(2, dim=-1)
        out: Tensor = self.w3(F.silu(gate) * value)
        return out


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """adaLN (arXiv 2212.09748): `x * (1 + scale) + shift`."""
    return x * (1 + scale) + shift
