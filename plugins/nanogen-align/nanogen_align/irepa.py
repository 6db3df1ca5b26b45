"""iREPA: what a teacher knows of space (Singh et al., arXiv 2512.10794)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from nanogen_align.config import IRepaConfig
from nanogen_align.distances import DISTANCES
from nanogen_align.grids import resampled
from nanogen_align.probe import intermediate_shape
from nanogen_align.projectors import Convolution
from nanogen_align.teacher import teacher_of
from nanogen_core.randomness import KeyedRNG
from nanogen_core.specs import ConditionSpec, LatentSpec
from nanogen_core.tensors import Batch, ForwardPass, Losses, State

EXTRA = "irepa"
EPS = 1e-6


class IRepa:
    """REPA on image tokens alone, with a 3 x 3 convolution for a projector and targets normalised over space."""

    cls_token_width = 0

    def __init__(self, config: IRepaConfig, *, backbone: nn.Module, latent: LatentSpec, condition: ConditionSpec):
        self.config = config
        self.teacher = teacher_of(config.teacher)
        self.intermediates: Sequence[str] = (f"block.{config.block}",)
        self.count, width = intermediate_shape(backbone, self.intermediates[0], latent, condition)
        self.nets = Convolution(width, self.teacher.width).to(next(backbone.parameters()).device)

    def prepare(self, batch: Batch) -> Mapping[str, Tensor]:
        """The teacher's normalised patch tokens: [B, N, D], on the backbone's grid."""
        assert batch.images is not None, "the teacher wants images"
        patches, _ = self.teacher.encode(batch.images)
        return {EXTRA: spatially_normalised(resampled(patches, self.count), self.config.mean_share)}

    def cls_token(self, batch: Batch) -> None:
        """iREPA diffuses nothing along."""
        return

    def loss(self, forward_pass: ForwardPass, clean: State, batch: Batch, rng: KeyedRNG) -> Losses:
        """The weighted distance, and the distance as a part."""
        projected = self.nets(forward_pass.prediction.features[self.intermediates[0]]).float()  # [B, N, D]
        distance = DISTANCES[self.config.distance](projected, batch.extras[EXTRA])
        return Losses(self.config.weight * distance, {"distance": distance.detach()})


def spatially_normalised(tokens: Tensor, mean_share: float) -> Tensor:
    """`(y - gamma mean(y)) / (std(y) + eps)` over the tokens of each image and channel: [B, N, D] -> [B, N, D].

    Without it all tokens share a large common part (gamma < 1 leaves some of it), and differences in space are small.
    """
    mean, deviation = tokens.mean(dim=1, keepdim=True), tokens.std(dim=1, keepdim=True)  # [B, 1, D]
    return (tokens - mean_share * mean) / (deviation + EPS)
