"""Network of DiT (arXiv 2212.09748) and SiT (arXiv 2401.08740): adaLN-Zero from the time plus the condition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from nanogen_core.errors import Incompatible
from nanogen_core.specs import ConditionSpec, LatentSpec
from nanogen_core.tensors import Condition, Prediction, State, Times
from nanogen_dit.attention import kernel_for
from nanogen_dit.dit_blocks import DiTBlock, DiTHead
from nanogen_dit.dit_config import DiTConfig
from nanogen_dit.dit_embeddings import PooledCondition, TimestepEmbedding, position_table
from nanogen_dit.embeddings import patchify
from nanogen_dit.geometry import Geometry
from nanogen_dit.heads import cast
from nanogen_dit.intermediates import features, read_intermediates
from nanogen_dit.layers import EMBEDDING_STD
from nanogen_dit.linear import Linear
from nanogen_files.adaptation import Adapted, Origin, zeroed


class DiT(nn.Module):
    """Transformer over image tokens, with fixed sine-cosine positions and adaLN-Zero.

    Args:
        config: Sizes and options.
        latent: Shape of the state. It must have no class token.
        condition: Shape of the condition.
        wanted: Needed capabilities. "two-time" adds an embedding of t - r; without it `times.r` is unused. "jvp"
            selects attention with forward-mode derivatives.

    Raises:
        Incompatible: The state has a class token, or the patch size does not divide its height and width.
    """

    positions: Tensor

    def __init__(
        self,
        config: DiTConfig,
        *,
        latent: LatentSpec,
        condition: ConditionSpec,
        wanted: frozenset[str] = frozenset(),
    ):
        super().__init__()
        if latent.cls_token_width:
            raise Incompatible(
                "The backbone `dit` has no class token: use `lightning-dit` or `ddt`, or train without REG."
            )
        self.trunk = trunk = config.trunk
        self.reverse_time = config.reverse_time
        self.geometry = geometry = Geometry.of(latent, config.patch_size)
        self.patch = Linear(latent.channels * geometry.patch**2, trunk.hidden)
        self.register_buffer("positions", position_table(geometry.grid, trunk.hidden), persistent=False)
        self.time = TimestepEmbedding(trunk.hidden, config.time_factor)
        self.interval = TimestepEmbedding(trunk.hidden, config.time_factor) if "two-time" in wanted else None
        self.condition = PooledCondition(condition, trunk.hidden)
        kernel = kernel_for(wanted)
        self.blocks = nn.ModuleList(DiTBlock(trunk, config.mlp_ratio, kernel) for _ in range(trunk.depth))
        self.head = DiTHead(latent, geometry, trunk.hidden)
        self._initialise(condition)

    def forward(
        self, state: State, times: Times, condition: Condition, intermediates: Sequence[str] = ()
    ) -> Prediction:
        """Predict from a state at `times` in [0, 1].

        Args:
            state: Latent [B, C, h, w], without a class token.
            times: t and r, [B] each, or [B, N] per image token.
            condition: Tokens [B, L, D], with a mask [B, L] if they are padded.
            intermediates: Names of block outputs to return in `features`, such as "block.8".

        Returns:
            A prediction with the shape and dtype of `state`.

        Raises:
            NanoGenError: An intermediate does not exist.
        """
        requested = read_intermediates(intermediates, self.trunk.depth, self.geometry)
        keep, outputs = {each.block for each in requested}, {}
        x = self.patch(patchify(state.latent, self.geometry.patch)) + self.positions  # [B, N, width]
        pooled = self.condition(condition.tokens, condition.mask)[:, None]
        signal = F.silu(self._time(times) + pooled)  # [B, 1, width], or [B, N, width] with times per token
        for number, block in enumerate(self.blocks, start=1):
            x = block(x, signal)
            if number in keep:
                outputs[number] = x
        value = cast(State(self.head(x, signal)), state)
        return Prediction(value, features(requested, outputs, self.geometry))

    def adapt_state(self, state: Mapping[str, Tensor], origin: Origin) -> Mapping[str, Adapted]:
        """Start the embedding of t - r at zero if the pretrained weights lack it, so that the output is unchanged."""
        missing = self.interval is not None and not any(name.startswith("interval.") for name in state)
        return zeroed(self, "interval.mlp_out") if missing else {}

    def _time(self, times: Times) -> Tensor:
        embedded: Tensor = self.time(1 - times.t if self.reverse_time else times.t)
        if self.interval is not None:
            embedded = embedded + self.interval(times.t - times.r)
        return embedded if embedded.ndim == 3 else embedded[:, None]

    def _initialise(self, condition: ConditionSpec) -> None:
        """Initialise as published.

        Maps are Xavier-uniform with zero bias. Times and classes are normal(0.02). adaLN and head are zero.
        """
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        embeddings = [self.time] if self.interval is None else [self.time, self.interval]
        tables = [linear for embedding in embeddings for linear in (embedding.mlp_in, embedding.mlp_out)]
        if not condition.padded:
            tables.append(self.condition.proj)
        for table in tables:
            nn.init.normal_(table.weight, std=EMBEDDING_STD)
        modulations = [block.modulation for block in self.blocks if isinstance(block, DiTBlock)]
        for linear in (*modulations, self.head.modulation, self.head.readout):
            nn.init.zeros_(linear.weight)
            nn.init.zeros_(linear.bias)
