"""Perceptual loss LPIPS on the predicted image (Zhang et al., arXiv 1801.03924)."""

from __future__ import annotations

from collections.abc import Mapping

from nanogen_align.vgg import PerceptualDistance
from nanogen_core.protocols import Backbone
from nanogen_core.randomness import KeyedRNG
from nanogen_core.tensors import Batch, ForwardPass, Losses, State
from nanogen_pixel.config import LpipsConfig
from nanogen_pixel.early import mean_over_batch
from nanogen_pixel.views import compared_images
from nanogen_train.protocols import Auxiliary


class Lpips(Auxiliary):
    """`weight * d / (sg(d) + norm_eps)^norm_p` with `d = LPIPS(x_hat, x)`, for samples with t < `below`.

    x_hat is the predicted image, and x the real one. By default norm_p is 0: the loss is `weight * d`.

    Args:
        config: Options of the loss.

    Raises:
        DataError: A file of weights is missing.
    """

    def __init__(self, config: LpipsConfig):
        self.config = config
        self.network = PerceptualDistance.load(config.folder)

    def loss(
        self, forward_pass: ForwardPass, clean: State, batch: Batch, nets: Mapping[str, Backbone], rng: KeyedRNG
    ) -> Losses:
        """Return the loss as a batch mean, and the batch mean of the distances d as the part "distance"."""
        images = compared_images(forward_pass.denoised.latent, clean.latent, self.config.crop, rng)
        return mean_over_batch(forward_pass, self.config, self.network.to(clean.latent.device)(*images))
