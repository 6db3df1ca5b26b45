"""Evaluator of the training loop (`train.evaluate`): scores samples of the EMA weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from nanogen_core.pipeline import Pipeline
from nanogen_eval import metric_factory
from nanogen_eval.evaluate import Evaluation
from nanogen_eval.options import BootstrapConfig
from nanogen_eval.protocols import Metric
from nanogen_eval.score import Score
from nanogen_eval.targets import Model
from nanogen_eval.while_training_config import SamplesConfig

SEED = 0  # of the sampling noise: the same samples at every step


class Samples:
    """Scores samples during training, always with the same noise and requests. Computes no bootstrap intervals.

    Args:
        config: Metrics and number of samples.
        pipeline: The pipeline in training. The metrics are built once, for its configuration.
    """

    def __init__(self, config: SamplesConfig, *, pipeline: Pipeline):
        self.config = config
        self._metrics: Mapping[str, Metric] = metric_factory.of_pipeline(pipeline, config.metrics, {})[1]

    def scores(self, pipeline: Pipeline, folder: Path, step: int) -> list[Score]:
        """Score a pipeline after `step` steps, and add the scores to `scores.json` and `scores.jsonl` of the folder."""
        evaluation = Evaluation(
            metrics=self._metrics,
            folder=folder,
            bootstrap=BootstrapConfig(draws=0),
            about={"step": step},
        )
        return evaluation.scores(Model(pipeline, self.config.count), [SEED])
