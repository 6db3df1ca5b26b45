"""`kid` and `prdc`: distances between single images and those of a reference. A bootstrap would compare images with
themselves, so that neither has an interval."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from torch import Tensor

from nanogen_core.tensors import Batch
from nanogen_fidelity.config import KidConfig, PrdcConfig
from nanogen_fidelity.distances.kid import kid, subset_kid
from nanogen_fidelity.distances.neighbours import density_coverage, precision_recall
from nanogen_fidelity.extractor import shared
from nanogen_fidelity.metrics.kept import OfRows
from nanogen_fidelity.reference import Reference


class BesideRows(OfRows):
    """Keeps the features, and has those of a reference beside them."""

    def __init__(self, config: KidConfig | PrdcConfig):
        super().__init__()
        self._features = shared(config.features)
        self._reference = Reference(config.reference)

    @cached_property
    def known(self) -> Tensor:
        """The reference's features [M, D]."""
        return self._reference.rows(self._features)

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        return {"features": dict(self._features.settings), "reference": self._reference.digest, **self.options()}

    def options(self) -> Mapping[str, Any]:
        """What the score depends on beside the space and the reference."""
        raise NotImplementedError

    def see(self, images: Tensor, batch: Batch) -> Mapping[str, Tensor]:
        return {"features": self._features(images)}


class Kid(BesideRows):
    """`kid`: of all pairs, or the mean over random subsets."""

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
            return {"kid": kid(rows["features"], self.known)}
        drawn = {"subsets": self.config.subsets, "size": self.config.subset_size, "seed": self.config.seed}
        return {"kid": subset_kid(rows["features"], self.known, **drawn)[0]}


class Prdc(BesideRows):
    """`precision`, `recall`, `density` and `coverage`."""

    higher_is_better = True
    score_names = ("precision", "recall", "density", "coverage")

    def __init__(self, config: PrdcConfig):
        super().__init__(config)
        self.config = config

    def options(self) -> Mapping[str, Any]:
        return {"k": self.config.k, "density_k": self.config.density_k}

    def score(self, rows: Mapping[str, Tensor]) -> Mapping[str, float]:
        precision, recall = precision_recall(rows["features"], self.known, k=self.config.k)
        density, coverage = density_coverage(rows["features"], self.known, k=self.config.density_k)
        return {"precision": precision, "recall": recall, "density": density, "coverage": coverage}
