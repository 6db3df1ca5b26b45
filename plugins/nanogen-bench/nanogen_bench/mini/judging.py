"""The scores of a trained run, as `nanogen evaluate` measures them."""

from __future__ import annotations

from pathlib import Path

from nanogen_core.pipeline import Pipeline
from nanogen_eval.evaluate import Evaluation
from nanogen_eval.options import EvalOptions
from nanogen_eval.score import Score
from nanogen_eval.targets import Model

BATCH = 128  # images at a time


def judge(pipeline: Pipeline, folder: Path, count: int) -> list[Score]:
    """Every score of the configured metrics over `count` samples; they then also lie in the folder. The questions are
    the same for every run, and the noise is that of the run's own seed."""
    metrics = dict(pipeline.task.metrics())
    evaluation = Evaluation(metrics=metrics, folder=folder, options=EvalOptions(batch_size=BATCH))
    return evaluation.scores(Model(pipeline, count), [pipeline.config.seed])
