"""Transformer encoder of LightningDiT and DDT: state, times and condition as one sequence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nanogen_core.specs import ConditionSpec, LatentSpec
from nanogen_core.tensors import Condition, State, Times
from nanogen_dit.attention import kernel_for
from nanogen_dit.blocks import Block
from nanogen_dit.config import DDTConfig, LightningDiTConfig
from nanogen_dit.embeddings import (
    UNGUIDED,
    ConditionEmbedding,
    GuidanceEmbedding,
    IntervalEmbedding,
    StateEmbedding,
    TimeEmbedding,
)
from nanogen_dit.geometry import Geometry
from nanogen_dit.rope import RoPE, Rotation
from nanogen_files.adaptation import FRESH, Adapted, Origin, renamed

ADDED_TOKENS = (
    "the tokens for t - r are new, so at r = t the output differs from the pretrained network's;"
    " `backbone.interval: sum` keeps it"
)


class Embedded(NamedTuple):
    """Input of the encoder's blocks."""

    tokens: Tensor  # [B, S, width]
    rotation: Rotation
    mask: Tensor | None  # [B, 1, 1, S], False at keys to ignore
    time: Tensor  # [B, 1, width], or [B, N, width] per image token: the time embedding, before the learned tokens


class Encoded(NamedTuple):
    """Output of the encoder."""

    tokens: Tensor  # [B, (1) + N, width]: state tokens after the last block
    time: Tensor  # that of `Embedded`
    outputs: dict[int, Tensor]  # block number -> [B, S, width], for the requested blocks


class Encoder(nn.Module):
    """Encoder with in-context conditioning. Sequence: [class token, image, time, second time, guidance, condition].

    Without "two-time" the time embedding reads t. With "two-time" and `interval: tokens` the first time embedding reads
    h = t - r, the second t. With "two-time" and `interval: sum` the time embedding reads t, and an embedding of h is
    added to it.

    With a time for each image token, the time tokens receive the mean embedding, and each image token receives its own
    embedding minus the mean. If all tokens of a sample have the same time, the result is as for one time per sample.

    Args:
        config: Sizes and options.
        latent: Shape of the state.
        condition: Shape of the condition.
        wanted: Needed capabilities. "two-time" adds an embedding of t - r. "cfg-conditioned" adds the guidance tokens.
            "jvp" selects attention with forward-mode derivatives.
    """

    def __init__(
        self,
        config: LightningDiTConfig | DDTConfig,
        latent: LatentSpec,
        condition: ConditionSpec,
        wanted: frozenset[str],
    ):
        super().__init__()
        self.trunk = trunk = config.trunk
        self.geometry = Geometry.of(latent, config.patch_size)
        self.state = StateEmbedding(latent, self.geometry.patch, trunk.hidden)
        self.time = TimeEmbedding(trunk.hidden, config.time_tokens, config.time_scale)
        two_times = "two-time" in wanted and config.interval == "tokens"
        self.second_time = TimeEmbedding(trunk.hidden, config.time_tokens, config.time_scale) if two_times else None
        summed = "two-time" in wanted and not two_times
        self.interval = IntervalEmbedding(trunk.hidden, config.time_scale) if summed else None
        self.guidance = (
            GuidanceEmbedding(trunk.hidden, config.time_tokens, config.time_scale)
            if "cfg-conditioned" in wanted
            else None
        )
        self.condition = ConditionEmbedding(condition, trunk.hidden)
        guidance = 0 if self.guidance is None else self.guidance.length
        others = config.time_tokens * (1 + two_times) + guidance + max(condition.length, condition.learned)
        self.rope = RoPE(self.geometry.grid, trunk.hidden // trunk.heads, before=self.geometry.leading, after=others)
        kernel = kernel_for(wanted, config.masked_attention)
        self.blocks = nn.ModuleList(Block(trunk, config.mlp_ratio, kernel) for _ in range(trunk.depth))

    def forward(self, state: State, times: Times, condition: Condition, keep: Set[int | None] = frozenset()) -> Encoded:
        """Encode a state.

        Args:
            state: Latent [B, C, h, w] and, for REG, class token [B, D].
            times: t and r, [B] each, or [B, N] per image token.
            condition: Tokens [B, L, D], with a mask [B, L] if they are padded.
            keep: Numbers, counted from 1, of the blocks whose outputs are returned. An element None is ignored.
        """
        embedded = self.embed(state, times, condition)
        x, outputs = embedded.tokens, {}
        for number, block in enumerate(self.blocks, start=1):
            x = block(x, embedded.rotation, embedded.mask)
            if number in keep:
                outputs[number] = x
        return Encoded(x[:, : self.geometry.length], embedded.time, outputs)

    def embed(self, state: State, times: Times, condition: Condition) -> Embedded:
        """Embed state, times, guidance and condition as one sequence, the input of the blocks."""
        time = self._time(times)  # [B, width] or [B, N, width]
        second = None if self.second_time is None else self.second_time(times.t)
        tokens = self.state(state)
        for embedding in (time, second):
            if embedding is not None and embedding.ndim == 3:
                difference = embedding - embedding.mean(dim=1, keepdim=True)
                tokens = tokens + F.pad(difference, (0, 0, self.geometry.leading, 0))
        x = torch.cat([tokens, *self._context(time, second, condition)], dim=1)  # [B, S, width]
        rotation, mask = self.rope(x.shape[1]), _key_mask(condition.mask, x.shape[1])
        return Embedded(x, rotation, mask, time[:, None] if time.ndim == 2 else time)

    def _time(self, times: Times) -> Tensor:
        if self.second_time is not None:
            return self.time(times.t - times.r)  # type: ignore[no-any-return]
        embedded: Tensor = self.time(times.t)
        return embedded if self.interval is None else embedded + self.interval(times.t - times.r)

    def adapt_state(self, state: Mapping[str, Tensor], origin: Origin) -> Mapping[str, Adapted]:
        """Match the time embeddings by their input (t or t - r), not by their name. With `interval: sum` the embedding
        of t - r starts at zero if the pretrained weights lack it, so that the output is unchanged.
        """
        if not any(name.startswith("time.") for name in state):
            return {}
        found = renamed(self, state, *(_reads_t(names) for names in (state, self.state_dict())))
        if self.second_time is not None and not any(name.startswith("second_time.") for name in state):
            new = FRESH._replace(note=ADDED_TOKENS)
            found |= {name: new for name in self.state_dict() if name.startswith("time.")}
        return found

    def _context(self, time: Tensor, second: Tensor | None, condition: Condition) -> list[Tensor]:
        """Return the tokens that follow the state: times, guidance, condition."""
        tokens = [self.time.tokens(time)]  # [B, T, width]
        if self.second_time is not None and second is not None:
            tokens.append(self.second_time.tokens(second))  # [B, T, width]
        if self.guidance is not None:
            tokens.append(self.guidance(_guidance(condition)))  # [B, 2 T, width]
        return [*tokens, self.condition(condition.tokens)]


def _reads_t(names: Iterable[str]) -> str:
    """Return the time embedding that reads t, from the names of an encoder's tensors."""
    return "second_time" if any(name.startswith("second_time.") for name in names) else "time"


def _key_mask(mask: Tensor | None, length: int) -> Tensor | None:
    """Extend the mask [B, L] of the condition, the last tokens of the sequence, to all keys: [B, 1, 1, S]."""
    if mask is None:
        return None
    return F.pad(mask, (length - mask.shape[1], 0), value=True)[:, None, None]


def _guidance(condition: Condition) -> Tensor:
    """Return the extra `guidance` [B, 3] of a condition, or w = 1 at all times without it."""
    given = condition.extras.get("guidance")
    if given is not None:
        return given
    size, device = (len(condition.tokens),), condition.tokens.device
    return torch.stack([torch.full(size, number, device=device) for number in UNGUIDED], dim=1)
