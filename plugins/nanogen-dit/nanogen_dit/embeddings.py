"""What turns states, times and conditions into tokens."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nanogen_core.specs import ConditionSpec, LatentSpec
from nanogen_core.tensors import State
from nanogen_dit.layers import EmbeddingLinear, PatchLinear, RMSNorm, learned_tokens
from nanogen_dit.linear import Linear

FREQUENCIES = 256

#: The numbers of `Condition.extras["guidance"]` for a scale w: 1 - 1/w, and the interval of times where w holds.
GUIDANCE = ("share", "t_min", "t_max")
UNGUIDED = (0.0, 0.0, 1.0)  # w = 1


def patchify(latent: Tensor, patch: int) -> Tensor:
    """Latents [B, C, h, w] -> [B, h/p * w/p, C * p * p], tokens row-major, channel first within a token."""
    return F.pixel_unshuffle(latent, patch).flatten(2).transpose(1, 2)


def unpatchify(tokens: Tensor, patch: int, grid: tuple[int, int]) -> Tensor:
    """Tokens [B, N, p * p * C], channel last within a token, -> latents [B, C, h, w]."""
    cells = tokens.reshape(len(tokens), *grid, patch, patch, -1)  # [B, h/p, w/p, p, p, C]
    return cells.permute(0, 5, 1, 3, 2, 4).flatten(4, 5).flatten(2, 3)


class TokenEmbedding(nn.Module):
    """`norm(linear(token))`: the class token that REG diffuses along, [B, D] -> [B, 1, width]."""

    def __init__(self, token_width: int, width: int):
        super().__init__()
        self.proj = Linear(token_width, width)
        self.norm = RMSNorm(width)

    def forward(self, token: Tensor) -> Tensor:
        out: Tensor = self.norm(self.proj(token))[:, None]
        return out


class StateEmbedding(nn.Module):
    """A state -> [B, (1) + N, width]: the class token first, where the latent has one, then the image tokens."""

    def __init__(self, latent: LatentSpec, patch: int, width: int):
        super().__init__()
        self.patch_size = patch
        self.patch = PatchLinear(latent.channels * patch**2, width)
        self.token = TokenEmbedding(latent.cls_token_width, width) if latent.cls_token_width else None

    def forward(self, state: State) -> Tensor:
        image: Tensor = self.patch(patchify(state.latent, self.patch_size))  # [B, N, width]
        if self.token is None:
            return image
        return torch.cat([self.token(state.cls_token), image], dim=1)


class TimeEmbedding(nn.Module):
    """Gaussian Fourier features of a time in [0, 1] (`sin`, then `cos`, of 2 pi t W, W fixed), and an MLP."""

    frequencies: Tensor

    def __init__(self, width: int, tokens: int, scale: float):
        super().__init__()
        self.register_buffer("frequencies", torch.randn(FREQUENCIES) * scale)
        self.mlp_in = EmbeddingLinear(2 * FREQUENCIES, width)
        self.mlp_out = EmbeddingLinear(width, width)
        self.learned = learned_tokens(tokens, width)

    def forward(self, t: Tensor) -> Tensor:
        """Times [B] -> the base embedding [B, width]."""
        angle = 2 * math.pi * t[:, None] * self.frequencies  # [B, 256]
        features = torch.cat([angle.sin(), angle.cos()], dim=1).to(self.mlp_in.weight.dtype)  # [B, 512]
        base: Tensor = self.mlp_out(F.silu(self.mlp_in(features)))
        return base

    def tokens(self, base: Tensor) -> Tensor:
        """The base embedding added to each learned token: [B, tokens, width]."""
        return base[:, None] + self.learned


class GuidanceEmbedding(nn.ModuleDict):
    """The extra `guidance` [B, 3] -> [B, length, width]: each number by an embedding of its own, as if it were a time.

    `1 - 1/w` has `tokens` tokens, t_min and t_max half as many each, as in Improved MeanFlow
    (arXiv 2512.02012).
    """

    def __init__(self, width: int, tokens: int, scale: float):
        share, *ends = GUIDANCE
        counts = {share: tokens, **dict.fromkeys(ends, max(1, tokens // 2))}
        super().__init__({name: TimeEmbedding(width, count, scale) for name, count in counts.items()})
        self.length = sum(counts.values())

    def forward(self, guidance: Tensor) -> Tensor:
        parts = zip(self.values(), guidance.unbind(1), strict=True)
        return torch.cat([embed.tokens(embed(number)) for embed, number in parts], dim=1)  # type: ignore[operator]


class ConditionEmbedding(nn.Module):
    """A row of condition tokens [B, L, D] -> [B, L, width], or [B, learned, width] where L is 1 and is added to those.

    Without a bias the projection of a one-hot token is a class embedding table; learned tokens make a bias superfluous.
    """

    def __init__(self, condition: ConditionSpec, width: int):
        super().__init__()
        self.norm = RMSNorm(condition.width) if condition.normalize else nn.Identity()
        if condition.learned:
            self.proj = EmbeddingLinear(condition.width, width, bias=False)
            self.learned = learned_tokens(condition.learned, width)
        else:
            self.proj = Linear(condition.width, width)
            self.register_parameter("learned", None)

    def forward(self, tokens: Tensor) -> Tensor:
        projected: Tensor = self.proj(self.norm(tokens))
        return projected if self.learned is None else projected + self.learned
