"""A small diffusion transformer: joint attention over condition and image tokens, adaptive layer norm for the time."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from nanogen_core.errors import NanoGenError
from nanogen_core.specs import ConditionSpec, LatentSpec
from nanogen_core.tensors import Condition, Prediction, State, Times
from torch import Tensor, nn

from nanogen_placeholder.config import PlaceholderConfig


class Placeholder(nn.Module):
    """Predicts a value of the shape of the state. Initially it predicts zero. Provides `features` (`block.N`).

    Args:
        config: Options.
        latent: Shape of the state.
        condition: Shape of the condition tokens.
    """

    def __init__(self, config: PlaceholderConfig, *, latent: LatentSpec, condition: ConditionSpec):
        super().__init__()
        width, patch = config.width, latent.patch_size
        if latent.height % patch or latent.width % patch:
            fault = f"patches of {patch} do not tile a latent of {latent.height} x {latent.width}"
            raise NanoGenError(f"placeholder: {fault}. Use another image size.")
        self.patch, self.rows = patch, latent.height // patch
        tokens = self.rows * (latent.width // patch)
        self.inlet = nn.Linear(latent.channels * patch**2, width)
        self.positions = nn.Parameter(0.02 * torch.randn(tokens, width))
        self.time = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.condition = ConditionTokens(condition, width)
        self.blocks = nn.ModuleList(Block(width, config.heads) for _ in range(config.depth))
        self.norm = nn.LayerNorm(width)
        self.outlet = zeroed(nn.Linear(width, latent.channels * patch**2))

    def forward(
        self, state: State, times: Times, condition: Condition, intermediates: Sequence[str] = ()
    ) -> Prediction:
        """Predict from the latent [B, C, h, w], the time [B] and the condition tokens [B, L, D]."""
        names = [f"block.{number}" for number in range(1, len(self.blocks) + 1)]
        if unknown := sorted({*intermediates} - {*names}):
            known = f"block.1 to {names[-1]}"
            raise NanoGenError(f"placeholder has no intermediate {unknown[0]!r}; it has {known}.")
        patches = F.pixel_unshuffle(state.latent, self.patch).flatten(2).transpose(1, 2)  # [B, N, C p^2]
        image = self.inlet(patches) + self.positions
        given = self.condition(condition.tokens)  # [B, L, width]
        time = self.time(waves(times.t, image.shape[2]))[:, None]  # [B, 1, width]
        visible = visible_tokens(condition, image.shape[1])
        tokens, features = torch.cat([given, image], dim=1), {}
        for name, block in zip(names, self.blocks, strict=True):
            tokens = block(tokens, time, visible)
            if name in intermediates:
                features[name] = tokens[:, given.shape[1] :]
        values = self.outlet(self.norm(tokens[:, given.shape[1] :])).transpose(1, 2)  # [B, C p^2, N]
        grid = values.unflatten(2, (self.rows, -1))
        return Prediction(State(F.pixel_shuffle(grid, self.patch).float()), features)


class ConditionTokens(nn.Module):
    """Projects condition tokens [B, L, D] to [B, L, width]. The one token of a label becomes `spec.learned` tokens."""

    def __init__(self, spec: ConditionSpec, width: int):
        super().__init__()
        self.norm = nn.RMSNorm(spec.width) if spec.normalize else nn.Identity()
        self.projection = nn.Linear(spec.width, width)
        self.learned = nn.Parameter(0.02 * torch.randn(max(1, spec.learned), width))

    def forward(self, tokens: Tensor) -> Tensor:
        projected: Tensor = self.projection(self.norm(tokens))
        return projected + self.learned


class Block(nn.Module):
    """Attention and a feed-forward network. The time shifts, scales and gates both (adaLN-Zero, arXiv 2212.09748)."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.qkv = nn.Linear(width, 3 * width)
        self.merge = nn.Linear(width, width)
        self.feed_forward = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.modulation = zeroed(nn.Linear(width, 6 * width))

    def forward(self, tokens: Tensor, time: Tensor, visible: Tensor | None) -> Tensor:
        shift, scale, gate, shift2, scale2, gate2 = self.modulation(time).chunk(6, dim=2)  # [B, 1, width] each
        tokens = tokens + gate * self.attention(self.norm(tokens) * (1 + scale) + shift, visible)
        result: Tensor = tokens + gate2 * self.feed_forward(self.norm(tokens) * (1 + scale2) + shift2)
        return result

    def attention(self, tokens: Tensor, visible: Tensor | None) -> Tensor:
        q, k, v = (x.unflatten(2, (self.heads, -1)).transpose(1, 2) for x in self.qkv(tokens).chunk(3, dim=2))
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=visible)  # [B, heads, L + N, width / heads]
        merged: Tensor = self.merge(mixed.transpose(1, 2).flatten(2))
        return merged


def visible_tokens(condition: Condition, image_tokens: int) -> Tensor | None:
    """Return the attention mask [B, 1, 1, L + N], False at padding of the condition. None without padding."""
    if condition.mask is None:
        return None
    return F.pad(condition.mask, (0, image_tokens), value=True)[:, None, None]


def waves(t: Tensor, width: int) -> Tensor:
    """Return cosines and sines [B, width] of the times [B], at angular frequencies from pi / 2 to 500 pi."""
    frequencies = torch.logspace(0, 3, width // 2, device=t.device)
    angles = t[:, None] * frequencies * (math.pi / 2)
    return torch.cat([angles.cos(), angles.sin()], dim=1)


def zeroed(linear: nn.Linear) -> nn.Linear:
    """Set the weight and the bias of a layer to zero, and return it."""
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    return linear
