"""Encoder of LightningDiT and DDT with a route: blocks that process a part of the image tokens in training."""

from __future__ import annotations

from collections.abc import Set

from torch import Tensor

from nanogen_core.specs import ConditionSpec, LatentSpec
from nanogen_dit.config import DDTConfig, LightningDiTConfig
from nanogen_dit.encoder import Embedded, Encoder
from nanogen_routing.config import RouteOptions
from nanogen_routing.selection import Selection, at_positions, put, taken


class RoutedEncoder(Encoder):
    """Base class of the encoders with a route.

    Args:
        config: Sizes, options and the route.
        latent: Shape of the state.
        condition: Shape of the condition.
        wanted: As for `Encoder`.
    """

    def __init__(
        self,
        config: LightningDiTConfig | DDTConfig,
        latent: LatentSpec,
        condition: ConditionSpec,
        wanted: frozenset[str],
    ):
        super().__init__(config, latent, condition, wanted)
        assert isinstance(config, RouteOptions)
        self.route = config.route
        self.selection = Selection(config, self.geometry)

    def kept(self, x: Tensor) -> Tensor | None:
        """Draw the positions [B, K] of the tokens of `x` that take the route. None means all, as in evaluation mode."""
        return self.selection.kept(x) if self.training else None

    def run_blocks(
        self,
        x: Tensor,
        numbers: range,
        embedded: Embedded,
        keep: Set[int | None],
        outputs: dict[int, Tensor],
        kept: Tensor | None = None,
    ) -> Tensor:
        """Run blocks on a sequence and return it [B, S, width]. Skipped tokens keep their values, also in `outputs`.

        Args:
            x: The sequence.
            numbers: Numbers of the blocks, counted from 1.
            embedded: Rotation and key mask of the sequence.
            keep: Numbers of the blocks whose outputs are added to `outputs`.
            outputs: Block outputs [B, S, width] by number.
            kept: Positions [B, K] of the tokens that the blocks process. None for all.
        """
        rotation, mask = embedded.rotation, embedded.mask
        part = x
        if kept is not None:
            part, (rotation, mask) = taken(x, kept), at_positions(embedded, kept)
        for number in numbers:
            part = self.blocks[number - 1](part, rotation, mask)
            if number in keep:
                outputs[number] = part if kept is None else put(part, kept, x)
        return part if kept is None else put(part, kept, x)
