"""LPIPS as a loss on the guessed image (Zhang et al., arXiv 1801.03924)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from nanogen_align.vgg import PerceptualDistance
from nanogen_core.randomness import Draws
from nanogen_core.tensors import Batch, Losses, Seen, State
from nanogen_pixel.config import LpipsConfig
from nanogen_pixel.early import mean_over_batch, rows_below
from nanogen_pixel.views import view


class Lpips:
    """`weight * LPIPS(x_hat, x)` where t < `below`: x_hat is the image that the prediction points to."""

    taps: Sequence[str] = ()
    nets = None
    token_width = 0

    def __init__(self, config: LpipsConfig):
        """Raises DataError where a file of weights is missing: `auxiliary: {lpips: null}` trains without."""
        self.config = config
        self.network = PerceptualDistance.load(config.folder)

    def prepare(self, batch: Batch) -> Mapping[str, Tensor]:
        """Nothing: with a tokenizer of pixels the clean latent is the image."""
        return {}

    def token(self, batch: Batch) -> None:
        """Nothing is diffused along."""
        return

    def loss(self, seen: Seen, clean: State, batch: Batch, rng: Draws) -> Losses:
        """The weighted mean over the batch, and the distance as a part."""
        rows = rows_below(seen, self.config.below)
        network = self.network.to(clean.latent.device)

        def distance() -> Tensor:
            return network(*view(seen.guess.latent, clean.latent, rows, self.config.crop, rng))

        return mean_over_batch(seen, rows, self.config, distance)
