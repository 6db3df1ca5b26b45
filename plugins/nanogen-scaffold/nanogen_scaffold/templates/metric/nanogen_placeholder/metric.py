"""Contrast of images: the standard deviation of their brightness."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from nanogen_core.tensors import Batch
from nanogen_eval.row_metric import ResampledRowMetric
from torch import Tensor

from nanogen_placeholder.config import PlaceholderConfig

LUMA = (0.299, 0.587, 0.114)  # weights of red, green and blue (ITU-R BT.601)


class Placeholder(ResampledRowMetric):
    """Scores: `contrast`, the mean over images; `uniform`, the share of images with contrast below `uniform_below`.

    The base class stores a row for each image, so scores do not depend on batches and have a bootstrap interval.
    """

    higher_is_better = True
    score_names = ("contrast", "uniform")

    def __init__(self, config: PlaceholderConfig):
        super().__init__()
        self.config = config
        self.settings = {"uniform_below": config.uniform_below}  # everything that changes a score

    def measure(self, images: Tensor, batch: Batch) -> Mapping[str, Tensor]:
        """Return the contrast [B] of images [B, 3, H, W] in [-1, 1]. White is 1 brighter than black."""
        weights = torch.tensor(LUMA, dtype=torch.float64, device=images.device)
        brightness = torch.einsum("bchw,c->bhw", images.double() / 2, weights)
        return {"contrast": brightness.flatten(1).std(dim=1, correction=0).cpu()}

    def score(self, rows: Mapping[str, Tensor]) -> Mapping[str, float]:
        """Compute the scores from the contrasts [N] of all images."""
        contrast = rows["contrast"]
        uniform = contrast < self.config.uniform_below
        return {"contrast": float(contrast.mean()), "uniform": float(uniform.double().mean())}
