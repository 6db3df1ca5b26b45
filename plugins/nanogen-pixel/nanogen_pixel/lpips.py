"""LPIPS as a loss on the guessed image (Zhang et al., arXiv 1801.03924)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from nanogen_align.vgg import PerceptualDistance
from nanogen_core.randomness import KeyedRNG
from nanogen_core.tensors import Batch, ForwardPass, Losses, State
from nanogen_pixel.config import LpipsConfig
from nanogen_pixel.early import mean_over_batch, rows_below
from nanogen_pixel.views import view


class Lpips:
    """`weight * LPIPS(x_hat, x)` where t < `below`: x_hat is the image that the prediction points to."""

    intermediates: Sequence[str] = ()
    nets = None
    cls_token_width = 0

    def __init__(self, config: LpipsConfig):
        """Raises DataError where a file of weights is missing: `auxiliary: {lpips: null}` trains without."""
        self.config = config
        self.network = PerceptualDistance.load(config.folder)

    def prepare(self, batch: Batch) -> Mapping[str, Tensor]:
        """Nothing: with a tokenizer of pixels the clean latent is the image."""
        return {}

    def cls_token(self, batch: Batch) -> None:
        """Nothing is diffused along."""
        return

    def loss(self, forward_pass: ForwardPass, clean: State, batch: Batch, rng: KeyedRNG) -> Losses:
        """The weighted mean over the batch, and the distance as a part."""
        rows = rows_below(forward_pass, self.config.below)
        network = self.network.to(clean.latent.device)

        def distance() -> Tensor:
            return network(*view(forward_pass.denoised.latent, clean.latent, rows, self.config.crop, rng))

        return mean_over_batch(forward_pass, rows, self.config, distance)
