"""The metrics `kid` and `prdc`, which compare the features of images and reference images pair by pair.

They have no bootstrap interval: a bootstrap sample repeats images, and copies have distance 0.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from torch import Tensor

from nanogen_core.tensors import Batch
from nanogen_eval.row_metric import RowMetric
from nanogen_fidelity.config import KidConfig, PrdcConfig
from nanogen_fidelity.distances.kid import kid, subset_kid
from nanogen_fidelity.distances.neighbours import density_coverage, precision_recall
from nanogen_fidelity.extractor import shared
from nanogen_fidelity.reference import Reference


class ReferenceRows(RowMetric):
    """Base of metrics that compare stored features with the features of a reference."""

    metric: str  # its name in a configuration, for error messages

    def __init__(self, config: KidConfig | PrdcConfig):
        super().__init__()
        self._features = shared(config.features, path=f"metric.{self.metric}.features")
        self._reference = Reference(config.reference)

    @cached_property
    def reference_features(self) -> Tensor:
        """The features [M, D] of the reference."""
        return self._reference.rows(self._features)

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        return {"features": dict(self._features.settings), "reference": self._reference.digest, **self.options()}

    @abstractmethod
    def options(self) -> Mapping[str, Any]:
        """Return the settings other than feature space and reference."""

    def measure(self, images: Tensor, batch: Batch) -> Mapping[str, Tensor]:
        return {"features": self._features(images)}


class Kid(ReferenceRows):
    """`kid` (arXiv 1801.01401) of all pairs, or its mean over random subsets."""

    metric = "kid"
    higher_is_better = False
    score_names = ("kid",)

    def __init__(self, config: KidConfig):
        super().__init__(config)
        self.config = config

    def options(self) -> Mapping[str, Any]:
        size = self.config.subset_size
        return {"subset_size": size, "subsets": self.config.subsets, "seed": self.config.seed} if size else {}

    def score(self, rows: Mapping[str, Tensor]) -> Mapping[str, float]:
        if self.config.subset_size is None:
            return {"kid": kid(rows["features"], self.reference_features)}
        options = {"subsets": self.config.subsets, "size": self.config.subset_size, "seed": self.config.seed}
        return {"kid": subset_kid(rows["features"], self.reference_features, **options)[0]}


class Prdc(ReferenceRows):
    """`precision`, `recall` (arXiv 1904.06991), `density` and `coverage` (arXiv 2002.09797)."""

    metric = "prdc"
    higher_is_better = True
    score_names = ("precision", "recall", "density", "coverage")

    def __init__(self, config: PrdcConfig):
        super().__init__(config)
        self.config = config

    def options(self) -> Mapping[str, Any]:
        return {"k": self.config.k, "density_k": self.config.density_k}

    def score(self, rows: Mapping[str, Tensor]) -> Mapping[str, float]:
        precision, recall = precision_recall(rows["features"], self.reference_features, k=self.config.k)
        density, coverage = density_coverage(rows["features"], self.reference_features, k=self.config.density_k)
        return {"precision": precision, "recall": recall, "density": density, "coverage": coverage}
