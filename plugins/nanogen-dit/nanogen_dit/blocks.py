"""The transformer block, plain and steered."""

from __future__ import annotations

from torch import Tensor, nn

from nanogen_dit.attention import Attention, Kernel
from nanogen_dit.config import Trunk
from nanogen_dit.layers import RMSNorm, SwiGLU, ZeroLinear, modulate
from nanogen_dit.rope import Rotation


class Block(nn.Module):
    """`x + attention(norm(x))`, then `x + mlp(norm(x))`."""

    def __init__(self, trunk: Trunk, mlp_ratio: float, kernel: Kernel):
        super().__init__()
        self.norm1 = RMSNorm(trunk.hidden)
        self.attention = Attention(trunk.hidden, trunk.heads, kernel)
        self.norm2 = RMSNorm(trunk.hidden)
        self.mlp = SwiGLU(trunk.hidden, mlp_ratio)

    def forward(self, x: Tensor, rotation: Rotation, mask: Tensor | None) -> Tensor:
        x = x + self.attention(self.norm1(x), rotation, mask)
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class SteeredBlock(Block):
    """The same with adaLN: each token has its own shift, scale and gate of attention, then of the MLP."""

    def __init__(self, trunk: Trunk, mlp_ratio: float, kernel: Kernel):
        super().__init__(trunk, mlp_ratio, kernel)
        self.modulation = ZeroLinear(trunk.hidden, 6 * trunk.hidden)

    def forward(self, x: Tensor, rotation: Rotation, style: Tensor) -> Tensor:  # type: ignore[override]
        """`style` [B, S, hidden] is the steering signal after its SiLU."""
        shift, scale, gate, mlp_shift, mlp_scale, mlp_gate = self.modulation(style).chunk(6, dim=-1)
        x = x + gate * self.attention(modulate(self.norm1(x), shift, scale), rotation)
        out: Tensor = x + mlp_gate * self.mlp(modulate(self.norm2(x), mlp_shift, mlp_scale))
        return out
