"""Transformer blocks without and with adaLN."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from nanogen_dit.attention import Attention, Kernel
from nanogen_dit.config import Trunk
from nanogen_dit.layers import RMSNorm, SwiGLU, ZeroLinear, modulate
from nanogen_dit.rope import Rotation
from nanogen_files.adaptation import Adapted, Origin, zeroed


class Block(nn.Module):
    """Pre-norm transformer block: `x + attention(norm(x))`, then `x + mlp(norm(x))`.

    Args:
        trunk: Width and number of heads.
        mlp_ratio: Sets the inner width of SwiGLU, `int(2/3 * mlp_ratio * hidden)`.
        kernel: Computes attention from q, k and v.
    """

    def __init__(self, trunk: Trunk, mlp_ratio: float, kernel: Kernel):
        super().__init__()
        self.norm1 = RMSNorm(trunk.hidden)
        self.attention = Attention(trunk.hidden, trunk.heads, kernel)
        self.norm2 = RMSNorm(trunk.hidden)
        self.mlp = SwiGLU(trunk.hidden, mlp_ratio)

    def forward(self, x: Tensor, rotation: Rotation, mask: Tensor | None) -> Tensor:
        """Map tokens [B, S, hidden] to [B, S, hidden]. `mask` [B, 1, 1, S] is False at keys to ignore."""
        x = x + self.attention(self.norm1(x), rotation, mask)
        out: Tensor = x + self.mlp(self.norm2(x))
        return out

    def adapt_state(self, state: Mapping[str, Tensor], origin: Origin) -> Mapping[str, Adapted]:
        """If the pretrained weights lack this block, initialise it as the identity: its residual branches are zero."""
        return {} if state else zeroed(self, "attention.proj", "mlp.w3")


class AdaLNBlock(Block):
    """Block with adaLN-Zero (arXiv 2212.09748): shift, scale and gate of attention and MLP, for each token."""

    def __init__(self, trunk: Trunk, mlp_ratio: float, kernel: Kernel):
        super().__init__(trunk, mlp_ratio, kernel)
        self.modulation = ZeroLinear(trunk.hidden, 6 * trunk.hidden)

    def forward(self, x: Tensor, rotation: Rotation, signal: Tensor) -> Tensor:  # type: ignore[override]
        """Map tokens [B, S, hidden] to [B, S, hidden]. `signal` [B, S, hidden]: SiLU of conditioning vectors."""
        shift, scale, gate, mlp_shift, mlp_scale, mlp_gate = self.modulation(signal).chunk(6, dim=-1)
        x = x + gate * self.attention(modulate(self.norm1(x), shift, scale), rotation)
        out: Tensor = x + mlp_gate * self.mlp(modulate(self.norm2(x), mlp_shift, mlp_scale))
        return out

    def adapt_state(self, state: Mapping[str, Tensor], origin: Origin) -> Mapping[str, Adapted]:
        """If the pretrained weights lack this block, keep its initial weights: its gates are zero already."""
        return {}
