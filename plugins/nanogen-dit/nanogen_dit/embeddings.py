"""Embeddings of states, times, guidance and conditions as tokens."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nanogen_core.specs import ConditionSpec, LatentSpec
from nanogen_core.tensors import State
from nanogen_dit.layers import EmbeddingLinear, PatchLinear, RMSNorm, ZeroLinear, learned_tokens
from nanogen_dit.linear import Linear
from nanogen_files.adaptation import Adapted, Origin, fresh

FREQUENCIES = 256

#: Columns of `Condition.extras["guidance"]`: 1 - 1/w for a scale w, and its interval of times. "share" is the name of
#: the first embedding in state dicts.
GUIDANCE = ("share", "t_min", "t_max")
UNGUIDED = (0.0, 0.0, 1.0)  # w = 1


def patchify(latent: Tensor, patch: int) -> Tensor:
    """Cut latents [B, C, h, w] into tokens [B, h/p * w/p, C * p * p], row-major, channel first within a token."""
    return F.pixel_unshuffle(latent, patch).flatten(2).transpose(1, 2)


def unpatchify(tokens: Tensor, patch: int, grid: tuple[int, int]) -> Tensor:
    """Assemble tokens [B, N, p * p * C], channel last within a token, into latents [B, C, h, w].

    Args:
        tokens: The tokens, row-major.
        patch: Latent cells along one side of a token.
        grid: Rows and columns of tokens.
    """
    cells = tokens.reshape(len(tokens), *grid, patch, patch, -1)  # [B, h/p, w/p, p, p, C]
    return cells.permute(0, 5, 1, 3, 2, 4).flatten(4, 5).flatten(2, 3)


class TokenEmbedding(nn.Module):
    """Embedding of the class token (REG): `norm(linear(token))`, [B, D] to [B, 1, width]."""

    def __init__(self, token_width: int, width: int):
        super().__init__()
        self.proj = Linear(token_width, width)
        self.norm = RMSNorm(width)

    def forward(self, token: Tensor) -> Tensor:
        out: Tensor = self.norm(self.proj(token))[:, None]
        return out


class StateEmbedding(nn.Module):
    """Embedding of a state as tokens [B, (1) + N, width]: the class token, if any, then the image tokens.

    Args:
        latent: Shape of the state.
        patch: Latent cells along one side of a token.
        width: Width of the tokens.
    """

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


def of_sequence(embedding: Tensor) -> Tensor:
    """Return the time embedding [B, width] of each sample; embeddings of image tokens [B, N, width] are averaged."""
    return embedding if embedding.ndim == 2 else embedding.mean(dim=1)


class FourierEmbedding(nn.Module):
    """Gaussian Fourier features of a time in [0, 1], `sin` and `cos` of `2 pi t W` with fixed W, then an MLP.

    Args:
        width: Width of the embedding.
        scale: Standard deviation of W.
        outlet: Class of the last linear map.
    """

    frequencies: Tensor

    def __init__(self, width: int, scale: float, outlet: type[Linear] = EmbeddingLinear):
        super().__init__()
        self.register_buffer("frequencies", torch.randn(FREQUENCIES) * scale)
        self.mlp_in = EmbeddingLinear(2 * FREQUENCIES, width)
        self.mlp_out = outlet(width, width)

    def forward(self, t: Tensor) -> Tensor:
        """Map times [B] to embeddings [B, width], and times [B, N] to [B, N, width]."""
        angle = 2 * math.pi * t[..., None] * self.frequencies  # [..., 256]
        features = torch.cat([angle.sin(), angle.cos()], dim=-1).to(self.mlp_in.weight.dtype)  # [..., 512]
        base: Tensor = self.mlp_out(F.silu(self.mlp_in(features)))
        return base


class IntervalEmbedding(FourierEmbedding):
    """Embedding of t - r that is added to the embedding of t. It is zero at first."""

    def __init__(self, width: int, scale: float):
        super().__init__(width, scale, ZeroLinear)


class TimeEmbedding(FourierEmbedding):
    """Fourier embedding of a time, and learned tokens to which it is added.

    Args:
        width: Width of the embedding.
        tokens: Number of learned tokens.
        scale: Standard deviation of the frequencies.
    """

    def __init__(self, width: int, tokens: int, scale: float):
        super().__init__(width, scale)
        self.learned = learned_tokens(tokens, width)

    def tokens(self, base: Tensor) -> Tensor:
        """Add the embedding [B, width] to each learned token: [B, tokens, width].

        Embeddings [B, N, width] are averaged over the image tokens first.
        """
        return of_sequence(base)[:, None] + self.learned


class GuidanceEmbedding(nn.ModuleDict):
    """Embedding of `Condition.extras["guidance"]` [B, 3] as tokens [B, length, width].

    The columns are 1 - 1/w with the guidance scale w, t_min and t_max (Improved MeanFlow, arXiv 2512.02012). Each has
    its own `TimeEmbedding`: `tokens` tokens for 1 - 1/w, `max(1, tokens // 2)` for t_min and for t_max.

    Args:
        width: Width of the tokens.
        tokens: Number of tokens for 1 - 1/w.
        scale: Standard deviation of the Fourier frequencies.
    """

    def __init__(self, width: int, tokens: int, scale: float):
        fraction, *interval = GUIDANCE
        counts = {fraction: tokens, **dict.fromkeys(interval, max(1, tokens // 2))}
        super().__init__({name: TimeEmbedding(width, count, scale) for name, count in counts.items()})
        self.length = sum(counts.values())

    def forward(self, guidance: Tensor) -> Tensor:
        embeddings = [module for module in self.values() if isinstance(module, TimeEmbedding)]
        columns = zip(embeddings, guidance.unbind(1), strict=True)
        return torch.cat([embedding.tokens(embedding(column)) for embedding, column in columns], dim=1)


class ConditionEmbedding(nn.Module):
    """Embedding of condition tokens: [B, L, D] to [B, L, width].

    With learned tokens (class labels) L is 1, and the result is [B, learned, width]: the projected token plus each
    learned token. The projection then has no bias: it is the embedding table of one-hot labels.

    Args:
        condition: Shape of the condition.
        width: Width of the tokens.
    """

    proj: Linear

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

    def adapt_state(self, state: Mapping[str, Tensor], origin: Origin) -> Mapping[str, Adapted]:
        """Keep the initial weights if the pretrained network had another condition: its tokens had another meaning."""
        return {} if origin.same_condition else fresh(self)
