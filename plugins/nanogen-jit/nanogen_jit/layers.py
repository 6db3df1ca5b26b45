"""Patch embedding, condition tokens, block and head of JiT."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from nanogen_core.specs import ConditionSpec, LatentSpec
from nanogen_core.tensors import Condition
from nanogen_dit.attention import Kernel
from nanogen_dit.blocks import Block
from nanogen_dit.config import Trunk
from nanogen_dit.embeddings import patchify, unpatchify
from nanogen_dit.geometry import Geometry
from nanogen_dit.layers import EMBEDDING_STD, RMSNorm, ZeroLinear, modulate
from nanogen_dit.linear import Linear
from nanogen_dit.rope import Rotation
from nanogen_files.adaptation import Adapted, Origin, fresh


class BottleneckPatch(nn.Module):
    """Patch embedding of two linear maps with a narrow width between them, and no non-linearity.

    Args:
        latent: Shape of the state.
        patch: Latent cells along one side of a token.
        bottleneck: Width between the maps.
        width: Width of the tokens.
    """

    def __init__(self, latent: LatentSpec, patch: int, bottleneck: int, width: int):
        super().__init__()
        self.patch_size = patch
        self.reduce = Linear(latent.channels * patch**2, bottleneck, bias=False)
        self.expand = Linear(bottleneck, width)

    def forward(self, latent: Tensor) -> Tensor:
        """Embed latents [B, C, h, w] as tokens [B, N, width]."""
        tokens: Tensor = self.expand(self.reduce(patchify(latent, self.patch_size)))
        return tokens


class ConditionTokens(nn.Module):
    """Maps a condition to a vector for adaLN and to in-context tokens.

    - A class label is one one-hot token, so the projection is an embedding table. The vector is the embedding e. The
      in-context tokens are `e + p_i` with learned p_i.
    - Texts are projected, after an RMSNorm if `condition.normalize`. The vector is the mean of the projected tokens,
      and zero for a text without tokens. The in-context tokens are the projected tokens plus learned positions.

    Args:
        condition: Shape of the condition.
        width: Width of the tokens.
        count: Number of in-context tokens for a class label.
    """

    def __init__(self, condition: ConditionSpec, width: int, count: int):
        super().__init__()
        self.repeats = condition.learned > 0
        self.length = count if self.repeats else condition.length
        self.norm = RMSNorm(condition.width) if condition.normalize else nn.Identity()
        self.proj = Linear(condition.width, width, bias=not self.repeats)
        self.positions = nn.Parameter(torch.randn(self.length, width) * EMBEDDING_STD)

    def forward(self, condition: Condition) -> tuple[Tensor, Tensor]:
        """Return the vector [B, width] and the in-context tokens [B, L, width]. L is at most `length`."""
        tokens, mask = condition.tokens, condition.mask
        if mask is not None:
            tokens = torch.where(mask[..., None], tokens, 0)  # in place of a product: masked tokens may be NaN
        projected = self.proj(self.norm(tokens).to(self.proj.weight.dtype))  # [B, L, width]
        if self.repeats:
            return projected[:, 0], projected + self.positions
        positions = self.positions[: projected.shape[1]]
        if mask is None:
            return projected.mean(dim=1), projected + positions
        total = torch.where(mask[..., None], projected, 0).sum(dim=1)
        return total / mask.sum(dim=1, keepdim=True).clamp(min=1).to(total.dtype), projected + positions

    def adapt_state(self, state: Mapping[str, Tensor], origin: Origin) -> Mapping[str, Adapted]:
        """Keep the initial weights if the pretrained network had other conditions: its tokens had another meaning."""
        return {} if origin.same_condition else fresh(self)


class JiTBlock(Block):
    """Attention and SwiGLU with RMSNorm and adaLN-Zero: shift, scale and gate come from one vector per sample."""

    def __init__(self, trunk: Trunk, mlp_ratio: float, kernel: Kernel):
        super().__init__(trunk, mlp_ratio, kernel)
        self.modulation = ZeroLinear(trunk.hidden, 6 * trunk.hidden)

    def forward(self, x: Tensor, rotation: Rotation, mask: Tensor | None, signal: Tensor) -> Tensor:  # type: ignore[override]
        """Map tokens [B, S, hidden] to [B, S, hidden].

        Args:
            x: The tokens.
            rotation: Rotary positions.
            mask: [B, 1, 1, S], False at tokens to ignore; or None.
            signal: SiLU of the conditioning vector [B, hidden].
        """
        shift, scale, gate, mlp_shift, mlp_scale, mlp_gate = self.modulation(signal)[:, None].chunk(6, dim=-1)
        x = x + gate * self.attention(modulate(self.norm1(x), shift, scale), rotation, mask)
        out: Tensor = x + mlp_gate * self.mlp(modulate(self.norm2(x), mlp_shift, mlp_scale))
        return out

    def adapt_state(self, state: Mapping[str, Tensor], origin: Origin) -> Mapping[str, Adapted]:
        """If the pretrained weights lack this block, keep its initial weights: its gates are zero already."""
        return {}


class JiTHead(nn.Module):
    """Linear head with RMSNorm and adaLN: tokens [B, N, width] to a latent [B, C, h, w]. Initially zero."""

    def __init__(self, latent: LatentSpec, geometry: Geometry, width: int):
        super().__init__()
        self.geometry = geometry
        self.norm = RMSNorm(width)
        self.modulation = ZeroLinear(width, 2 * width)
        self.readout = ZeroLinear(width, latent.channels * geometry.patch**2)

    def forward(self, x: Tensor, signal: Tensor) -> Tensor:
        """Map tokens [B, N, width] to a latent [B, C, h, w].

        Args:
            x: The tokens.
            signal: SiLU of the conditioning vector [B, width].
        """
        shift, scale = self.modulation(signal)[:, None].chunk(2, dim=-1)
        tokens = self.readout(modulate(self.norm(x), shift, scale))
        return unpatchify(tokens, self.geometry.patch, self.geometry.grid)
