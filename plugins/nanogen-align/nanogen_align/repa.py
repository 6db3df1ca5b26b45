"""REPA: representation alignment (Yu et al., arXiv 2410.06940)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from nanogen_align.config import RepaConfig
from nanogen_align.distances import DISTANCES
from nanogen_align.grids import resampled
from nanogen_align.probe import intermediate_shape
from nanogen_align.projectors import PROJECTORS
from nanogen_align.teacher import teacher_of
from nanogen_core.errors import Incompatible
from nanogen_core.randomness import KeyedRNG
from nanogen_core.specs import ConditionSpec, LatentSpec
from nanogen_core.tensors import Batch, ForwardPass, Losses, State

EXTRA = "repa"


class Repa:
    """`weight * distance(project(tokens after a block), the teacher's patch tokens)`.

    Where a class token is diffused along (REG), the block's token goes before the image tokens, and the clean token
    before the patch tokens; one projector serves both.
    """

    cls_token_width = 0

    def __init__(self, config: RepaConfig, *, backbone: nn.Module, latent: LatentSpec, condition: ConditionSpec):
        self.config = config
        self.teacher = teacher_of(config.teacher)
        self.intermediates: Sequence[str] = _intermediates(config.block, latent.cls_token_width > 0)
        if latent.cls_token_width and latent.cls_token_width != self.teacher.width:
            raise Incompatible(
                f"auxiliary.repa.teacher: {config.teacher!r} has tokens of {self.teacher.width} numbers, and the token "
                f"that is diffused along has {latent.cls_token_width}: give both auxiliaries the same teacher."
            )
        self.count, width = intermediate_shape(backbone, self.intermediates[-1], latent, condition)
        project = PROJECTORS[config.projector](config, width, self.teacher.width)
        self.nets = project.to(next(backbone.parameters()).device)

    def prepare(self, batch: Batch) -> Mapping[str, Tensor]:
        """The teacher's patch tokens of the images: [B, N, D], on the backbone's grid."""
        assert batch.images is not None, "the teacher wants images"
        patches, _ = self.teacher.encode(batch.images)
        return {EXTRA: resampled(patches, self.count)}

    def cls_token(self, batch: Batch) -> None:
        """REPA diffuses nothing along."""
        return

    def loss(self, forward_pass: ForwardPass, clean: State, batch: Batch, rng: KeyedRNG) -> Losses:
        """The weighted distance, and the distance as a part."""
        tokens = _rows(*(forward_pass.prediction.features[tap] for tap in self.intermediates))  # [B, (1) + N, width]
        targets = batch.extras[EXTRA] if clean.cls_token is None else _rows(clean.cls_token, batch.extras[EXTRA])
        distance = DISTANCES[self.config.distance](self.nets(tokens).float(), targets)
        return Losses(self.config.weight * distance, {"distance": distance.detach()})


def _rows(*parts: Tensor) -> Tensor:
    """Tokens [B, D] and rows of tokens [B, N, D], in this order, as one row."""
    return torch.cat([part if part.ndim == 3 else part[:, None] for part in parts], dim=1)


def _intermediates(block: int, with_token: bool) -> tuple[str, ...]:
    tap = f"block.{block}"
    return (f"{tap}.cls_token", tap) if with_token else (tap,)
