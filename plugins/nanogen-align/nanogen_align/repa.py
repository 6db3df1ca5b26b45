"""REPA: representation alignment (Yu et al., arXiv 2410.06940)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from nanogen_align.config import RepaConfig
from nanogen_align.distances import DISTANCES
from nanogen_align.grids import resampled
from nanogen_align.probe import tap_shape
from nanogen_align.projectors import PROJECTORS
from nanogen_align.teacher import teacher_of
from nanogen_core.errors import Incompatible
from nanogen_core.specs import ConditionSpec, LatentSpec
from nanogen_core.tensors import Batch, Losses, Seen, State

EXTRA = "repa"


class Repa:
    """`weight * distance(project(tokens after a block), the teacher's patch tokens)`.

    Where a further token is diffused along (REG), the block's token goes before the image tokens, and the teacher's
    class token before its patch tokens; one projector serves both.
    """

    token_width = 0

    def __init__(self, config: RepaConfig, *, backbone: nn.Module, latent: LatentSpec, condition: ConditionSpec):
        self.config = config
        self.teacher = teacher_of(config.teacher)
        self.with_token = latent.token_width > 0
        self.taps: Sequence[str] = _taps(config.block, self.with_token)
        if self.with_token and not self.teacher.has_class_token:
            raise Incompatible(
                f"auxiliary.repa.teacher: {config.teacher!r} has no class token to align the token with that is "
                f"diffused along: choose another teacher, or leave out that token's auxiliary."
            )
        self.count, width = tap_shape(backbone, self.taps[-1], latent, condition)
        project = PROJECTORS[config.projector](config, width, self.teacher.width)
        self.nets = project.to(next(backbone.parameters()).device)

    def prepare(self, batch: Batch) -> Mapping[str, Tensor]:
        """The teacher's tokens of the images: [B, (1) + N, D], on the backbone's grid."""
        assert batch.images is not None, "the teacher wants images"
        patches, token = self.teacher.encode(batch.images)
        tokens = resampled(patches, self.count)
        if self.with_token and token is not None:
            tokens = torch.cat([token[:, None], tokens], dim=1)
        return {EXTRA: tokens}

    def token(self, batch: Batch) -> None:
        """REPA diffuses nothing along."""
        return

    def loss(self, seen: Seen, clean: State, batch: Batch) -> Losses:
        """The weighted distance, and the distance as a part."""
        tapped = [seen.prediction.features[tap] for tap in self.taps]
        tokens = torch.cat([x if x.ndim == 3 else x[:, None] for x in tapped], dim=1)  # [B, (1) + N, width]
        distance = DISTANCES[self.config.distance](self.nets(tokens).float(), batch.extras[EXTRA])
        return Losses(self.config.weight * distance, {"distance": distance.detach()})


def _taps(block: int, with_token: bool) -> tuple[str, ...]:
    tap = f"block.{block}"
    return (f"{tap}.token", tap) if with_token else (tap,)
