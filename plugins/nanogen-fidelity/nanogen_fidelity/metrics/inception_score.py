"""The metric `inception-score`, in its three published variants."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

from torch import Tensor

from nanogen_core.errors import ConfigError
from nanogen_core.tensors import Batch
from nanogen_eval.row_metric import ResampledRowMetric
from nanogen_fidelity.config import InceptionScoreConfig
from nanogen_fidelity.distances import inception_score as published
from nanogen_fidelity.extractor import Extractor, shared

#: Variant -> (function of logits [N, K] and `splits`, published value of `splits`; for `adm` the size of a split).
VARIANTS: Mapping[str, tuple[Callable[[Tensor, int], float], int]] = {
    "diffusionbench": (lambda logits, n: published.diffusionbench_inception_score(logits, splits=n), 10),
    "torch-fidelity": (lambda logits, n: published.fidelity_inception_score(logits, splits=n)[0], 10),
    "adm": (lambda logits, n: published.adm_inception_score(logits, split_size=n), 5000),
}


class InceptionScore(ResampledRowMetric):
    """`inception_score` (arXiv 1606.03498). Stores the logits, 4 KB per image."""

    higher_is_better = True
    score_names = ("inception_score",)
    interval_draws = 100  # one draw of 50,000 rows takes a second

    def __init__(self, config: InceptionScoreConfig):
        """Raises ConfigError for features without logits."""
        super().__init__()
        features = shared(config.features, path="metric.inception-score.features")
        if not isinstance(features, Extractor) or "logits" not in features.outputs:
            raise ConfigError(
                f"inception-score: the features {config.features!r} have no logits. Set `features: inception`."
            )
        self._features, self.config = features, config
        self._score, default = VARIANTS[config.variant]
        self._splits = config.splits or default

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        options = {"variant": self.config.variant, "splits": self._splits}
        return {"features": dict(self._features.settings), **options}

    def measure(self, images: Tensor, batch: Batch) -> Mapping[str, Tensor]:
        return {"logits": self._features.extract(images)[self._features.outputs.index("logits")]}

    def score(self, rows: Mapping[str, Tensor]) -> Mapping[str, float]:
        return {"inception_score": self._score(rows["logits"], self._splits)}
