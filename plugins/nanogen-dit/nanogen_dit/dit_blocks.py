"""Blocks and head of DiT (arXiv 2212.09748) with adaLN-Zero."""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor, nn

from nanogen_core.specs import LatentSpec
from nanogen_dit.attention import Kernel
from nanogen_dit.config import Trunk
from nanogen_dit.embeddings import unpatchify
from nanogen_dit.geometry import Geometry
from nanogen_dit.layers import EPS, FusedLinear, grown_mlp, modulate
from nanogen_dit.linear import Linear
from nanogen_files.adaptation import Adapted, Origin


def layer_norm(width: int) -> nn.LayerNorm:
    """Return a LayerNorm without scale and shift. adaLN adds both."""
    return nn.LayerNorm(width, elementwise_affine=False, eps=EPS)


class SelfAttention(nn.Module):
    """Multi-head self-attention. q, k and v come from one matrix.

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
        self.proj = Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens [B, N, width] to [B, N, width]."""
        q, k, v = self.qkv(x).view(*x.shape[:2], 3, self.heads, -1).permute(2, 0, 3, 1, 4)  # [B, heads, N, d] each
        out: Tensor = self.proj(self.kernel(q, k, v, None).transpose(1, 2).flatten(2))
        return out


class MLP(nn.Module):
    """`outlet(gelu(inlet(x)))` with the tanh approximation of GELU. The inner width is `int(ratio * width)`."""

    def __init__(self, width: int, ratio: float):
        super().__init__()
        inner = int(ratio * width)
        self.inlet = Linear(width, inner)
        self.outlet = Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.outlet(F.gelu(self.inlet(x), approximate="tanh"))
        return out

    def adapt_state(self, state: Mapping[str, Tensor], origin: Origin) -> Mapping[str, Adapted]:
        """Grow pretrained weights that have fewer inner units. The columns of `outlet` for the new units are zero."""
        return grown_mlp(self, state, "inlet", "outlet", parts=1)


class DiTBlock(nn.Module):
    """Attention and MLP with adaLN-Zero: shift, scale and gate come from one vector per sample, or per token.

    Args:
        trunk: Width and number of heads.
        mlp_ratio: Inner width of the MLP, divided by the width of the network.
        kernel: Computes attention from q, k and v.
    """

    def __init__(self, trunk: Trunk, mlp_ratio: float, kernel: Kernel):
        super().__init__()
        self.norm1 = layer_norm(trunk.hidden)
        self.attention = SelfAttention(trunk.hidden, trunk.heads, kernel)
        self.norm2 = layer_norm(trunk.hidden)
        self.mlp = MLP(trunk.hidden, mlp_ratio)
        self.modulation = Linear(trunk.hidden, 6 * trunk.hidden)

    def forward(self, x: Tensor, signal: Tensor) -> Tensor:
        """Map tokens [B, N, width] to [B, N, width]. `signal` [B, 1 or N, width]: SiLU of the conditioning vectors."""
        shift, scale, gate, mlp_shift, mlp_scale, mlp_gate = self.modulation(signal).chunk(6, dim=-1)
        x = x + gate * self.attention(modulate(self.norm1(x), shift, scale))
        out: Tensor = x + mlp_gate * self.mlp(modulate(self.norm2(x), mlp_shift, mlp_scale))
        return out


class DiTHead(nn.Module):
    """Linear head with adaLN: tokens [B, N, width] to a latent [B, C, h, w]."""

    def __init__(self, latent: LatentSpec, geometry: Geometry, width: int):
        super().__init__()
        self.geometry = geometry
        self.norm = layer_norm(width)
        self.modulation = Linear(width, 2 * width)
        self.readout = Linear(width, latent.channels * geometry.patch**2)

    def forward(self, x: Tensor, signal: Tensor) -> Tensor:
        """Map tokens [B, N, width] to a latent. `signal` [B, 1 or N, width]: SiLU of the conditioning vectors."""
        shift, scale = self.modulation(signal).chunk(2, dim=-1)
        tokens = self.readout(modulate(self.norm(x), shift, scale))
        return unpatchify(tokens, self.geometry.patch, self.geometry.grid)
