"""JiT: the plain pixel transformer of "Back to Basics: Let Denoising Generative Models Denoise" (arXiv 2511.13720)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from attrs import evolve
from torch import Tensor, nn

from nanogen_core.specs import ConditionSpec, LatentSpec
from nanogen_core.tensors import Condition, Prediction, State, Times
from nanogen_dit.attention import kernel_for
from nanogen_dit.dit_embeddings import TimestepEmbedding, position_table
from nanogen_dit.geometry import Geometry
from nanogen_dit.heads import cast
from nanogen_dit.intermediates import features, read_intermediates
from nanogen_dit.layers import EMBEDDING_STD, ZeroLinear
from nanogen_dit.rope import RoPE
from nanogen_files.adaptation import FRESH, Adapted, Origin, zeroed
from nanogen_jit.config import JiTConfig
from nanogen_jit.layers import BottleneckPatch, ConditionTokens, JiTBlock, JiTHead

MOVED = (
    "the in-context tokens join at another block (`in_context_start` was {} and is {}), so the output differs from the"
    " pretrained network's; `backbone.in_context_start: {}` keeps it"
)


class JiT(nn.Module):
    """Transformer on large patches with a bottleneck patch embedding, adaLN-Zero and in-context condition tokens.

    Image tokens have fixed sine-cosine positions and rotary positions. In-context tokens have no rotary positions. They
    join the image tokens after the first `config.start` blocks.

    Args:
        config: Sizes and options.
        latent: Shape of the state. It must have no class token.
        condition: Shape of the condition.
        wanted: Needed capabilities. "two-time" adds an embedding of t - r (else `times.r` is unused). "jvp" selects
            attention with forward-mode derivatives.

    Example:
        >>> net = JiT(JiTConfig(size="B"), latent=LatentSpec(3, 256, 256),
        ...           condition=ConditionSpec(width=1001, length=1, learned=8))
        >>> net(State(images), Times(t, t), Condition(one_hot_labels[:, None])).value.latent  # [B, 3, 256, 256]
    """

    positions: Tensor

    def __init__(
        self,
        config: JiTConfig,
        *,
        latent: LatentSpec,
        condition: ConditionSpec,
        wanted: frozenset[str] = frozenset(),
    ):
        super().__init__()
        self.config = config
        self.trunk = trunk = config.trunk
        self.start = config.start
        self.geometry = geometry = Geometry.of(latent, config.patch_size)
        self.patch = BottleneckPatch(latent, geometry.patch, config.bottleneck_width, trunk.hidden)
        self.register_buffer("positions", position_table(geometry.grid, trunk.hidden), persistent=False)
        self.time = TimestepEmbedding(trunk.hidden, factor=1.0)
        self.interval = TimestepEmbedding(trunk.hidden, factor=1.0) if "two-time" in wanted else None
        self.condition = ConditionTokens(condition, trunk.hidden, config.in_context_tokens)
        self.rope = RoPE(geometry.grid, trunk.hidden // trunk.heads, after=self.condition.length)
        kernel = kernel_for(wanted)
        self.blocks = nn.ModuleList(JiTBlock(trunk, config.mlp_ratio, kernel) for _ in range(trunk.depth))
        self.head = JiTHead(latent, geometry, trunk.hidden)
        self._initialise(condition)

    def forward(
        self, state: State, times: Times, condition: Condition, intermediates: Sequence[str] = ()
    ) -> Prediction:
        """Predict from a state at `times` in [0, 1].

        Args:
            state: Latent [B, C, h, w].
            times: t and r, [B] each. The network embeds 1 - t, since time runs from noise to data in the paper.
            condition: Tokens [B, L, D], with a mask [B, L] if they are padded.
            intermediates: Names of block outputs to return in `features`, such as "block.8".

        Returns:
            A prediction with the shape and dtype of `state`.

        Raises:
            NanoGenError: An intermediate does not exist.
        """
        requested = read_intermediates(intermediates, self.trunk.depth, self.geometry)
        keep, outputs = {each.block for each in requested}, {}
        vector, context = self.condition(condition)  # [B, width], [B, L, width]
        signal = F.silu(self._time(times) + vector)
        x = self.patch(state.latent) + self.positions  # [B, N, width]
        mask = None
        for number, block in enumerate(self.blocks):
            if number == self.start:
                x, mask = torch.cat([x, context.to(x.dtype)], dim=1), self._mask(condition.mask)
            x = block(x, self.rope(x.shape[1]), mask, signal)
            if number + 1 in keep:
                outputs[number + 1] = x
        value = cast(State(self.head(x[:, : self.geometry.tokens], signal)), state)
        return Prediction(value, features(requested, outputs, self.geometry))

    def adapt_state(self, state: Mapping[str, Tensor], origin: Origin) -> Mapping[str, Adapted]:
        """Start the embedding of t - r at zero if the pretrained weights lack it, so that the output is unchanged.

        A note says if the default of `in_context_start` differs because of new blocks.
        """
        missing = self.interval is not None and not any(name.startswith("interval.") for name in state)
        found = zeroed(self, "interval.mlp_out") if missing else {}
        depth = len({name.split(".")[1] for name in state if name.startswith("blocks.")})
        if 0 < depth < self.trunk.depth:
            given = origin.options.get("in_context_start")
            start = evolve(self.config, depth=depth, in_context_start=given).start
            if start != self.start:
                found[f"blocks.{depth}.norm1.weight"] = FRESH._replace(note=MOVED.format(start, self.start, start))
        return found

    def _time(self, times: Times) -> Tensor:
        embedded: Tensor = self.time(1 - times.t)
        return embedded if self.interval is None else embedded + self.interval(times.t - times.r)

    def _mask(self, mask: Tensor | None) -> Tensor | None:
        """Mask [B, L] of the in-context tokens -> key mask [B, 1, 1, N + L]. Image tokens are never masked."""
        return None if mask is None else F.pad(mask, (self.geometry.tokens, 0), value=True)[:, None, None]

    def _initialise(self, condition: ConditionSpec) -> None:
        """Initialise as published.

        Maps are Xavier-uniform with zero bias. Times and classes are normal(0.02). adaLN and head are zero.
        """
        for module in self.modules():
            if isinstance(module, nn.Linear) and not isinstance(module, ZeroLinear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        embeddings = [self.time] if self.interval is None else [self.time, self.interval]
        tables = [linear for embedding in embeddings for linear in (embedding.mlp_in, embedding.mlp_out)]
        if condition.learned:
            tables.append(self.condition.proj)
        for table in tables:
            nn.init.normal_(table.weight, std=EMBEDDING_STD)
