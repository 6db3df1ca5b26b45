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
from nanogen_core.protocols import Backbone
from nanogen_core.randomness import KeyedRNG
from nanogen_core.specs import ConditionSpec, LatentSpec
from nanogen_core.tensors import Batch, ForwardPass, Losses, State
from nanogen_train.protocols import Auxiliary

EXTRA = "repa"


class Repa(Auxiliary):
    """REPA: `weight * distance(projector(block output), patch tokens of the teacher)`.

    With REG, the class token's block output is also aligned with the clean class token, through the same projector.

    Args:
        config: Options of the loss.
        backbone: The backbone. Its width is the input width of the projector.
        latent: Shape of the state.
        condition: Shape of the condition.

    Raises:
        Incompatible: The class token of the state has another width than the teacher's tokens.
    """

    nets: nn.Module

    def __init__(self, config: RepaConfig, *, backbone: nn.Module, latent: LatentSpec, condition: ConditionSpec):
        self.config = config
        self.teacher = teacher_of(config.teacher, "auxiliary.repa.teacher")
        self.intermediates: Sequence[str] = _intermediates(config.block, latent.cls_token_width > 0)
        if latent.cls_token_width and latent.cls_token_width != self.teacher.width:
            raise Incompatible(
                f"auxiliary.repa.teacher: the tokens of {config.teacher!r} have width {self.teacher.width}, but the"
                f" class token of REG has width {latent.cls_token_width}. Use the same teacher for `repa` and `reg`."
            )
        self.count, width = intermediate_shape(backbone, self.intermediates[-1], latent, condition)
        project = PROJECTORS[config.projector](config, width, self.teacher.width)
        self.nets = project.to(next(backbone.parameters()).device)

    def active(self, step: int) -> bool:
        """Return whether the loss applies at `step`: in the first `config.until` steps, or always if that is None."""
        return self.config.until is None or step < self.config.until

    def prepare(self, batch: Batch) -> Mapping[str, Tensor]:
        """Return the teacher's patch tokens [B, N, D], resampled to the backbone's grid."""
        assert batch.images is not None, "the batch has no images for the teacher"
        patches, _ = self.teacher.encode(batch.images)
        return {EXTRA: resampled(patches, self.count)}

    def loss(
        self, forward_pass: ForwardPass, clean: State, batch: Batch, nets: Mapping[str, Backbone], rng: KeyedRNG
    ) -> Losses:
        """Return the weighted distance, and the unweighted one as the part "distance"."""
        features = forward_pass.prediction.features
        tokens = _concatenated(*(features[name] for name in self.intermediates))  # [B, (1) + N, width]
        patches = batch.extras[EXTRA]
        targets = patches if clean.cls_token is None else _concatenated(clean.cls_token, patches)
        distance = DISTANCES[self.config.distance](self.nets(tokens).float(), targets)
        return Losses(self.config.weight * distance, {"distance": distance.detach()})


def _concatenated(*parts: Tensor) -> Tensor:
    """Concatenate single tokens [B, D] and sequences [B, N, D] along the sequence."""
    return torch.cat([part if part.ndim == 3 else part[:, None] for part in parts], dim=1)


def _intermediates(block: int, with_token: bool) -> tuple[str, ...]:
    name = f"block.{block}"
    return (f"{name}.cls_token", name) if with_token else (name,)
