"""SPRINT: sparse-dense residual fusion (Park et al., arXiv 2510.21986)."""

from __future__ import annotations

from collections.abc import Mapping, Set
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from nanogen_core.specs import ConditionSpec, LatentSpec
from nanogen_core.tensors import Condition, State, Times
from nanogen_dit.config import DDTConfig, LightningDiTConfig
from nanogen_dit.ddt import DDT
from nanogen_dit.encoder import Embedded, Encoded, Encoder
from nanogen_dit.layers import EMBEDDING_STD
from nanogen_dit.lightning_dit import LightningDiT
from nanogen_dit.linear import Linear
from nanogen_files.adaptation import FRESH, Adapted, Origin
from nanogen_routing.config import SprintOptions
from nanogen_routing.encoder import RoutedEncoder

PATH_DROP = "path_drop"  #: Name of the extra of a condition, [B] bool: the samples whose deep path is dropped.
SHALLOW = "shallow"  #: Name of an extra that tells the host that all are dropped. Its values are not read: no wait.

MOVED = (
    "the route was blocks {} to {} and is blocks {} to {}, so the output differs from the pretrained network's;"
    " `backbone.route_from: {}` and `backbone.route_to: {}` keep it"
)


class SprintEncoder(RoutedEncoder):
    """Dense shallow blocks, sparse deep blocks (the route), and blocks on the fusion of both.

    The fusion is a linear map of `[deep, shallow]`, for all tokens of the sequence. In training the deep path omits a
    part of the image tokens; in its output a mask token replaces them. For a random share of samples the deep path is
    dropped: its output is the mask token everywhere (path-drop learning). In evaluation mode the deep path processes
    all tokens, and no path is dropped at random. In both modes `Condition.extras["path_drop"]` [B], if given, marks the
    samples whose deep path is dropped. In evaluation mode its blocks do not run if `extras["shallow"]` is given. As in
    the public code, the mask token is random and not trained.

    Args:
        config: Sizes, options and the route.
        latent: Shape of the state.
        condition: Shape of the condition.
        wanted: As for `Encoder`.
    """

    mask_token: Tensor

    def __init__(
        self,
        config: LightningDiTConfig | DDTConfig,
        latent: LatentSpec,
        condition: ConditionSpec,
        wanted: frozenset[str],
    ):
        super().__init__(config, latent, condition, wanted)
        assert isinstance(config, SprintOptions)
        self.route_in = config.route_in
        self.path_drop = config.path_drop
        self.fusion = Linear(2 * self.trunk.hidden, self.trunk.hidden)
        self.register_buffer("mask_token", EMBEDDING_STD * torch.randn(self.trunk.hidden))

    def forward(self, state: State, times: Times, condition: Condition, keep: Set[int | None] = frozenset()) -> Encoded:
        """Encode a state, as `Encoder` does."""
        embedded = self.embed(state, times, condition)
        outputs: dict[int, Tensor] = {}
        run = partial(self.run_blocks, embedded=embedded, keep=keep, outputs=outputs)
        shallow = run(embedded.tokens, range(1, self.route.start))
        if SHALLOW in condition.extras and not self.training:  # no block of the route runs
            outputs.update({number: shallow for number in self.route if number in keep})
            deep = self.mask_token.to(shallow.dtype).expand_as(shallow)
        else:
            deep = self._deep(shallow, embedded, self._dropped(condition), keep, outputs)
        fused = self.fusion(torch.cat([deep, shallow], dim=2)).to(shallow.dtype)
        x = run(fused, range(self.route.stop, self.trunk.depth + 1))
        return Encoded(x[:, : self.geometry.length], embedded.time, outputs)

    def adapt_state(self, state: Mapping[str, Tensor], origin: Origin) -> Mapping[str, Adapted]:
        """Adapt as `Encoder` does. A note says if the default route differs because of new blocks."""
        found = dict(super().adapt_state(state, origin))
        depth = len({name.split(".")[1] for name in state if name.startswith("blocks.")})
        if "fusion.weight" in state and 0 < depth < self.trunk.depth:
            route = self.route_in(depth, origin.options.get("route_from"), origin.options.get("route_to"))
            if route != self.route:
                ends = route[0], route[-1]
                note = MOVED.format(*ends, self.route[0], self.route[-1], *ends)
                found[f"blocks.{depth}.norm1.weight"] = FRESH._replace(note=note)
        return found

    def _dropped(self, condition: Condition) -> Tensor | None:
        """Return the samples [B] whose deep path is dropped; None for none."""
        given = condition.extras.get(PATH_DROP)
        if given is not None or not self.training or not self.path_drop:
            return given
        return torch.rand(len(condition.tokens), device=condition.tokens.device) < self.path_drop

    def _deep(
        self,
        shallow: Tensor,
        embedded: Embedded,
        dropped: Tensor | None,
        keep: Set[int | None],
        outputs: dict[int, Tensor],
    ) -> Tensor:
        """Return the output [B, S, width] of the deep path, with the mask token where it is missing."""
        mask_token = self.mask_token.to(shallow.dtype)
        kept = self.kept(shallow)
        deep = self.run_blocks(shallow, self.route, embedded, keep, outputs, kept)
        if kept is not None:
            present = torch.zeros(shallow.shape[:2], dtype=torch.bool, device=kept.device).scatter(1, kept, True)
            deep = torch.where(present[..., None], deep, mask_token)
        return deep if dropped is None else torch.where(dropped[:, None, None], mask_token, deep)


class SprintLightningDiT(LightningDiT):
    """LightningDiT with the paths of SPRINT."""

    encoder_type: ClassVar[type[Encoder]] = SprintEncoder


class SprintDDT(DDT):
    """DDT with the paths of SPRINT in its encoder. The decoder processes all tokens."""

    encoder_type: ClassVar[type[Encoder]] = SprintEncoder
