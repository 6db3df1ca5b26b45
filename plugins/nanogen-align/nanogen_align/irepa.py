"""iREPA: alignment with the spatial structure of a teacher's features (Singh et al., arXiv 2512.10794)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from nanogen_align.config import IRepaConfig
from nanogen_align.distances import DISTANCES
from nanogen_align.grids import resampled
from nanogen_align.probe import intermediate_shape
from nanogen_align.projectors import Convolution
from nanogen_align.teacher import teacher_of
from nanogen_core.protocols import Backbone
from nanogen_core.randomness import KeyedRNG
from nanogen_core.specs import ConditionSpec, LatentSpec
from nanogen_core.tensors import Batch, ForwardPass, Losses, State
from nanogen_train.protocols import Auxiliary

EXTRA = "irepa"
EPS = 1e-6


class IRepa(Auxiliary):
    """REPA with a 3 x 3 convolution as projector and spatially normalised targets. The class token is not aligned.

    Args:
        config: Options of the loss.
        backbone: The backbone. Its width is the input width of the projector.
        latent: Shape of the state.
        condition: Shape of the condition.
    """

    nets: nn.Module

    def __init__(self, config: IRepaConfig, *, backbone: nn.Module, latent: LatentSpec, condition: ConditionSpec):
        self.config = config
        self.teacher = teacher_of(config.teacher, "auxiliary.irepa.teacher")
        self.intermediates: Sequence[str] = (f"block.{config.block}",)
        self.count, width = intermediate_shape(backbone, self.intermediates[0], latent, condition)
        self.nets = Convolution(width, self.teacher.width).to(next(backbone.parameters()).device)

    def active(self, step: int) -> bool:
        """Return whether the loss applies at `step`: in the first `config.until` steps, or always if that is None."""
        return self.config.until is None or step < self.config.until

    def prepare(self, batch: Batch) -> Mapping[str, Tensor]:
        """Return the teacher's patch tokens [B, N, D], resampled to the backbone's grid and normalised."""
        assert batch.images is not None, "the batch has no images for the teacher"
        patches, _ = self.teacher.encode(batch.images)
        return {EXTRA: spatially_normalised(resampled(patches, self.count), self.config.gamma)}

    def loss(
        self, forward_pass: ForwardPass, clean: State, batch: Batch, nets: Mapping[str, Backbone], rng: KeyedRNG
    ) -> Losses:
        """Return the weighted distance, and the unweighted one as the part "distance"."""
        projected = self.nets(forward_pass.prediction.features[self.intermediates[0]]).float()  # [B, N, D]
        distance = DISTANCES[self.config.distance](projected, batch.extras[EXTRA])
        return Losses(self.config.weight * distance, {"distance": distance.detach()})


def spatially_normalised(tokens: Tensor, gamma: float) -> Tensor:
    """Normalise tokens [B, N, D] over N: `(y - gamma mean(y)) / (std(y) + 1e-6)`.

    This amplifies differences between the tokens of an image relative to their common mean.
    """
    mean, std = tokens.mean(dim=1, keepdim=True), tokens.std(dim=1, keepdim=True)  # [B, 1, D]
    return (tokens - gamma * mean) / (std + EPS)
