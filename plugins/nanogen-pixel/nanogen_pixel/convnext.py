"""ConvNeXt features as a loss on the predicted image (pixel MeanFlow, arXiv 2601.22158)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from nanogen_core.randomness import KeyedRNG
from nanogen_core.tensors import Batch, ForwardPass, Losses, State
from nanogen_pixel.config import ConvNeXtConfig
from nanogen_pixel.convnext_network import PooledFeatures
from nanogen_pixel.early import mean_over_batch, rows_below
from nanogen_pixel.views import view


class ConvNeXt:
    """`weight * |f(x_hat) - f(x)|^2 / (sg(...) + norm_eps)^norm_p` where t < `below`, a sum over the features.

    f is the mean of the last map over space, after the final LayerNorm: no classes. Images go in as they are, in
    [-1, 1], without ImageNet's mean and deviation, as in the public code.
    """

    intermediates: Sequence[str] = ()
    nets = None
    cls_token_width = 0

    def __init__(self, config: ConvNeXtConfig):
        """Raises DataError where the model is not at hand: `auxiliary: {convnext: null}` trains without."""
        self.config = config
        self.network = PooledFeatures.load(config.path)

    def prepare(self, batch: Batch) -> Mapping[str, Tensor]:
        """Nothing: with a tokenizer of pixels the clean latent is the image."""
        return {}

    def cls_token(self, batch: Batch) -> None:
        """Nothing is diffused along."""
        return

    def loss(self, forward_pass: ForwardPass, clean: State, batch: Batch, rng: KeyedRNG) -> Losses:
        """The weighted mean over the batch, and the distance as a part."""
        rows = rows_below(forward_pass, self.config.below)

        def distance() -> Tensor:
            denoised, image = view(forward_pass.denoised.latent, clean.latent, rows, self.config.crop, rng)
            network = self.network.to(image.device)
            return (network(denoised) - network(image)).square().sum(dim=1)

        return mean_over_batch(forward_pass, rows, self.config, distance)
