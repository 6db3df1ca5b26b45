"""`inception-score`: in the three ways in which it is published."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

from torch import Tensor

from nanogen_core.errors import ConfigError
from nanogen_core.tensors import Batch
from nanogen_fidelity.config import InceptionScoreConfig
from nanogen_fidelity.distances import inception_score as published
from nanogen_fidelity.extractor import Extractor, shared
from nanogen_fidelity.metrics.kept import Resampling

#: name -> the score of logits [N, K] for a number of splits (for adm, their size), and the published number.
VARIANTS: Mapping[str, tuple[Callable[[Tensor, int], float], int]] = {
    "diffusionbench": (lambda logits, n: published.diffusionbench_inception_score(logits, splits=n), 10),
    "torch-fidelity": (lambda logits, n: published.fidelity_inception_score(logits, splits=n)[0], 10),
    "adm": (lambda logits, n: published.adm_inception_score(logits, split_size=n), 5000),
}


class InceptionScore(Resampling):
    """Keeps the logits: 4 KB an image."""

    higher_is_better = True
    score_names = ("inception_score",)
    interval_draws = 100  # of 50,000 rows a draw takes a second

    def __init__(self, config: InceptionScoreConfig):
        """Raises ConfigError for features that give no logits."""
        super().__init__()
        features = shared(config.features)
        if not isinstance(features, Extractor) or "logits" not in features.gives:
            raise ConfigError(f"inception-score: the features {config.features!r} give no logits, `inception` does.")
        self._features, self.config = features, config
        self._score, usual = VARIANTS[config.variant]
        self._splits = config.splits or usual

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        used = {"variant": self.config.variant, "splits": self._splits}
        return {"features": dict(self._features.settings), **used}

    def see(self, images: Tensor, batch: Batch) -> Mapping[str, Tensor]:
        return {"logits": self._features.see(images)[self._features.gives.index("logits")]}

    def score(self, rows: Mapping[str, Tensor]) -> Mapping[str, float]:
        return {"inception_score": self._score(rows["logits"], self._splits)}
