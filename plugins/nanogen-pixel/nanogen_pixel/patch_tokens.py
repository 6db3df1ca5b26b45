"""The distance of patch tokens as a loss on the guessed image (PixelGen, arXiv 2602.02493)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from nanogen_align.teacher import teacher_of
from nanogen_core.randomness import Draws
from nanogen_core.tensors import Batch, Losses, Seen, State
from nanogen_pixel.config import PatchTokensConfig
from nanogen_pixel.early import mean_over_batch, rows_below

EXTRA = "patch-tokens"


class PatchTokens:
    """`weight * |tokens(x_hat) - tokens(x)|^2`, a mean, where t < `below`: x_hat is the image that is pointed to."""

    taps: Sequence[str] = ()
    nets = None
    token_width = 0

    def __init__(self, config: PatchTokensConfig):
        self.config = config
        self.teacher = teacher_of(config.teacher)

    def prepare(self, batch: Batch) -> Mapping[str, Tensor]:
        """The teacher's patch tokens of the images: [B, N, D]."""
        assert batch.images is not None, "the teacher wants images"
        return {EXTRA: self.teacher.encode(batch.images)[0]}

    def token(self, batch: Batch) -> None:
        """Nothing is diffused along."""
        return

    def loss(self, seen: Seen, clean: State, batch: Batch, rng: Draws) -> Losses:
        """The weighted mean over the batch, and the distance as a part."""
        rows = rows_below(seen, self.config.below)

        def distance() -> Tensor:
            guessed = self.teacher.patches(seen.guess.latent[rows]).float()  # [A, N, D]
            return (guessed - batch.extras[EXTRA][rows]).square().mean(dim=(1, 2))

        return mean_over_batch(seen, rows, self.config, distance)
