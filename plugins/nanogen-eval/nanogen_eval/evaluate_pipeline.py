"""A pipeline's answers to its task's own questions, shown to its metrics: an evaluation that leaves no files."""

from __future__ import annotations

from nanogen_core.pipeline import Pipeline
from nanogen_eval.evaluate import Evaluation
from nanogen_eval.options import BootstrapConfig, EvalOptions
from nanogen_eval.score import Score
from nanogen_eval.targets import Model


def judge(
    pipeline: Pipeline, count: int, *, seed: int = 0, batch_size: int = 256, draws: int | None = None
) -> list[Score]:
    """Every score of the task's metrics over `count` samples, with intervals from so many bootstrap draws (0: none)."""
    evaluation = Evaluation(
        metrics=pipeline.task.metrics(),
        effort=EvalOptions(batch_size=batch_size),
        certainty=BootstrapConfig(draws=draws),
    )
    return evaluation.scores(Model(pipeline, count), [seed])
