"""LightningDiT (arXiv 2501.01423) with in-context conditioning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from attrs import evolve
from torch import nn

from nanogen_core.specs import ConditionSpec, LatentSpec
from nanogen_core.tensors import Condition, Prediction, State, Times
from nanogen_dit.config import LightningDiTConfig
from nanogen_dit.encoder import Encoded, Encoder
from nanogen_dit.heads import Head, cast
from nanogen_dit.initial_weights import INITIAL_WEIGHTS
from nanogen_dit.intermediates import features, image_tokens, read_intermediates


class LightningDiT(nn.Module):
    """Transformer encoder with a final norm and a linear head.

    Args:
        config: Sizes and options.
        latent: Shape of the state.
        condition: Shape of the condition.
        wanted: Needed capabilities. "two-time" adds an embedding of t - r; without it `times.r` is unused.
            "cfg-conditioned" adds an embedding of `Condition.extras["guidance"]`. "internal-head" adds a head for
            internal guidance. "jvp" selects attention with forward-mode derivatives.

    Example:
        >>> net = LightningDiT(LightningDiTConfig(size="B"), latent=LatentSpec(4, 32, 32, factor=8),
        ...                    condition=ConditionSpec(width=1001, length=1, learned=8))
        >>> net(State(latents), Times(t, t), Condition(one_hot_labels[:, None])).value.latent  # [B, 4, 32, 32]
    """

    encoder_type: ClassVar[type[Encoder]] = Encoder

    def __init__(
        self,
        config: LightningDiTConfig,
        *,
        latent: LatentSpec,
        condition: ConditionSpec,
        wanted: frozenset[str] = frozenset(),
    ):
        super().__init__()
        width = config.trunk.hidden
        self.encoder = self.encoder_type(config, latent, condition, wanted)
        self.geometry = self.encoder.geometry
        self.head = Head(latent, self.geometry, width)
        self.internal_depth = config.internal_depth(config.trunk, wanted)
        image = evolve(latent, cls_token_width=0)  # the class token has no internal head
        self.internal_head = Head(image, self.geometry, width) if self.internal_depth else None
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
        requested = read_intermediates(intermediates, self.encoder.trunk.depth, self.geometry)
        encoded = self.encoder(state, times, condition, {self.internal_depth, *(each.block for each in requested)})
        value = cast(self.head(encoded.tokens), state)
        heads = {name: cast(head, state) for name, head in self._heads(encoded).items()}
        return Prediction(value, features(requested, encoded.outputs, self.geometry), heads)

    def _heads(self, encoded: Encoded) -> dict[str, State]:
        if self.internal_head is None or self.internal_depth is None:
            return {}
        return {"internal": self.internal_head(image_tokens(encoded.outputs[self.internal_depth], self.geometry))}
