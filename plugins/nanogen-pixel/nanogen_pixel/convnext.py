"""Perceptual loss on the pooled features of a ConvNeXt (pixel MeanFlow, arXiv 2601.22158)."""

from __future__ import annotations

from collections.abc import Mapping

from nanogen_core.protocols import Backbone
from nanogen_core.randomness import KeyedRNG
from nanogen_core.tensors import Batch, ForwardPass, Losses, State
from nanogen_pixel.config import ConvNeXtConfig
from nanogen_pixel.convnext_network import PooledFeatures
from nanogen_pixel.early import mean_over_batch
from nanogen_pixel.views import compared_images
from nanogen_train.protocols import Auxiliary


class ConvNeXt(Auxiliary):
    """`weight * d / (sg(d) + norm_eps)^norm_p` with `d = |f(x_hat) - f(x)|^2`, for samples with t < `below`.

    x_hat is the predicted image, and x the real one. f averages the last feature map over its positions and applies the
    final LayerNorm. Images are in [-1, 1] without ImageNet normalisation, as in the public code.

    Args:
        config: Options of the loss.

    Raises:
        DataError: The model cannot be read, is not a ConvNeXt, or lacks weights.
        NanoGenError: The package transformers is not installed.
    """

    def __init__(self, config: ConvNeXtConfig):
        self.config = config
        self.network = PooledFeatures.load(config.path)

    def loss(
        self, forward_pass: ForwardPass, clean: State, batch: Batch, nets: Mapping[str, Backbone], rng: KeyedRNG
    ) -> Losses:
        """Return the loss as a batch mean, and the batch mean of the distances d as the part "distance"."""
        denoised, image = compared_images(forward_pass.denoised.latent, clean.latent, self.config.crop, rng)
        network = self.network.to(image.device)
        error = network(denoised) - network(image)
        return mean_over_batch(forward_pass, self.config, error.square().sum(dim=1))
