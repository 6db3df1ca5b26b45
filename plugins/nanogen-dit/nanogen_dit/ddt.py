"""DDT, the decoupled diffusion transformer (arXiv 2504.05741), with in-context conditioning."""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import ClassVar

import torch
import torch.nn.functional as F
from attrs import evolve
from torch import Tensor, nn

from nanogen_core.specs import ConditionSpec, LatentSpec
from nanogen_core.tensors import Condition, Prediction, State, Times
from nanogen_dit.attention import kernel_for
from nanogen_dit.blocks import AdaLNBlock
from nanogen_dit.config import DDTConfig
from nanogen_dit.embeddings import StateEmbedding
from nanogen_dit.encoder import Encoded, Encoder
from nanogen_dit.geometry import Geometry
from nanogen_dit.heads import AdaLNHead, cast
from nanogen_dit.initial_weights import INITIAL_WEIGHTS
from nanogen_dit.intermediates import features, image_tokens, read_intermediates
from nanogen_dit.linear import Linear
from nanogen_dit.rope import RoPE


class Decoder(nn.Module):
    """Decoder of DDT: adaLN blocks on its own embedding of the state, then an adaLN head.

    Args:
        config: Options of DDT. `decoder_*` sets the size.
        latent: Shape of the state.
        wanted: Needed capabilities. "jvp" selects attention with forward-mode derivatives.
    """

    def __init__(self, config: DDTConfig, latent: LatentSpec, wanted: frozenset[str]):
        super().__init__()
        self.trunk = trunk = config.decoder
        self.first = config.trunk.depth + 1
        geometry = Geometry.of(latent, config.patch_size)
        self.state = StateEmbedding(latent, geometry.patch, trunk.hidden)
        self.rope = RoPE(geometry.grid, trunk.hidden // trunk.heads, before=geometry.leading)
        kernel = kernel_for(wanted)
        self.blocks = nn.ModuleList(AdaLNBlock(trunk, config.mlp_ratio, kernel) for _ in range(trunk.depth))
        self.head = AdaLNHead(latent, geometry, trunk.hidden)

    def forward(self, state: State, signal: Tensor, keep: Set[int | None]) -> tuple[State, dict[int, Tensor]]:
        """Decode a state.

        Args:
            state: Latent [B, C, h, w] and, for REG, class token [B, D].
            signal: SiLU of the conditioning vector of each token, [B, (1) + N, width].
            keep: Numbers of the blocks whose outputs are returned. Numbering continues after the encoder's blocks.

        Returns:
            The prediction, and the kept outputs [B, (1) + N, width] by block number.
        """
        x = self.state(state)  # [B, (1) + N, width]
        rotation, outputs = self.rope(x.shape[1]), {}
        for number, block in enumerate(self.blocks, start=self.first):
            x = block(x, rotation, signal)
            if number in keep:
                outputs[number] = x
        return self.head(x, signal), outputs


class DDT(nn.Module):
    """Transformer encoder and decoder. The decoder's adaLN reads the encoder's state tokens plus the time embedding.

    Args:
        config: Sizes and options.
        latent: Shape of the state.
        condition: Shape of the condition.
        wanted: Needed capabilities. "two-time" adds an embedding of t - r; without it `times.r` is unused.
            "cfg-conditioned" adds an embedding of `Condition.extras["guidance"]`. "internal-head" adds a head for
            internal guidance. "jvp" selects attention with forward-mode derivatives.
    """

    encoder_type: ClassVar[type[Encoder]] = Encoder

    def __init__(
        self,
        config: DDTConfig,
        *,
        latent: LatentSpec,
        condition: ConditionSpec,
        wanted: frozenset[str] = frozenset(),
    ):
        super().__init__()
        inner, outer = config.trunk.hidden, config.decoder.hidden
        self.encoder = self.encoder_type(config, latent, condition, wanted)
        self.geometry = self.encoder.geometry
        self.connector = Linear(inner, outer) if inner != outer else nn.Identity()
        self.decoder = Decoder(config, latent, wanted)
        self.internal_depth = config.internal_depth(config.trunk, wanted)
        image = evolve(latent, cls_token_width=0)  # the class token has no internal head
        self.internal_head = AdaLNHead(image, self.geometry, inner) if self.internal_depth else None
        INITIAL_WEIGHTS[config.init](self)

    def forward(
        self, state: State, times: Times, condition: Condition, intermediates: Sequence[str] = ()
    ) -> Prediction:
        """Predict from a state at `times` in [0, 1].

        Args:
            state: Latent [B, C, h, w] and, for REG, class token [B, D].
            times: t and r, [B] each, or [B, N] per image token.
            condition: Tokens [B, L, D], with a mask [B, L] if they are padded.
            intermediates: Names of block outputs to return in `features`, such as "block.8".

        Returns:
            A prediction with the shape and dtype of `state`.

        Raises:
            NanoGenError: An intermediate does not exist.
        """
        depth = self.encoder.trunk.depth + self.decoder.trunk.depth
        requested = read_intermediates(intermediates, depth, self.geometry)
        keep = {self.internal_depth, *(each.block for each in requested)}
        encoded = self.encoder(state, times, condition, keep)
        signal = self.connector(F.silu(encoded.tokens + self._state_time(encoded.time)))  # [B, (1) + N, outer]
        value, outputs = self.decoder(state, F.silu(signal), keep)
        heads = {name: cast(head, state) for name, head in self._heads(encoded).items()}
        return Prediction(cast(value, state), features(requested, encoded.outputs | outputs, self.geometry), heads)

    def _state_time(self, time: Tensor) -> Tensor:
        """Return the time embedding of the state's tokens. The class token has the mean of the image tokens."""
        if time.shape[1] == 1 or not self.geometry.leading:
            return time
        return torch.cat([time.mean(dim=1, keepdim=True), time], dim=1)

    def _heads(self, encoded: Encoded) -> dict[str, State]:
        """Apply the internal head. Its tokens are also its adaLN input."""
        if self.internal_head is None or self.internal_depth is None:
            return {}
        middle = image_tokens(encoded.outputs[self.internal_depth], self.geometry)  # [B, N, inner]
        signal = F.silu(middle + encoded.time)
        return {"internal": self.internal_head(signal, F.silu(signal))}
