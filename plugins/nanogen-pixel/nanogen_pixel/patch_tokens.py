"""Perceptual loss on the patch tokens of a vision encoder (PixelGen, arXiv 2602.02493)."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from nanogen_align.teacher import teacher_of
from nanogen_core.protocols import Backbone
from nanogen_core.randomness import KeyedRNG
from nanogen_core.tensors import Batch, ForwardPass, Losses, State
from nanogen_pixel.config import PatchTokensConfig
from nanogen_pixel.early import mean_over_batch
from nanogen_train.protocols import Auxiliary

EXTRA = "patch-tokens"


class PatchTokens(Auxiliary):
    """`weight * d / (sg(d) + norm_eps)^norm_p` with `d = mean((f(x_hat) - f(x))^2)`, for samples with t < `below`.

    f gives the teacher's patch tokens, x_hat is the predicted image, and x the real one. By default norm_p is 0: the
    loss is `weight * d`.

    Args:
        config: Options of the loss.
    """

    def __init__(self, config: PatchTokensConfig):
        self.config = config
        self.teacher = teacher_of(config.teacher, "auxiliary.patch-tokens.teacher")

    def prepare(self, batch: Batch) -> Mapping[str, Tensor]:
        """Return the teacher's patch tokens of the images as `{"patch-tokens": [B, N, D]}`."""
        assert batch.images is not None, "the batch has no images for the teacher"
        return {EXTRA: self.teacher.encode(batch.images)[0]}

    def loss(
        self, forward_pass: ForwardPass, clean: State, batch: Batch, nets: Mapping[str, Backbone], rng: KeyedRNG
    ) -> Losses:
        """Return the loss as a batch mean, and the batch mean of the distances d as the part "distance"."""
        tokens = self.teacher.patches(forward_pass.denoised.latent).float()  # [B, N, D]
        distances = (tokens - batch.extras[EXTRA]).square().mean(dim=(1, 2))
        return mean_over_batch(forward_pass, self.config, distances)
