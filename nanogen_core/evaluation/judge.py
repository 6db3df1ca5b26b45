"""A pipeline's answers to its task's own questions, shown to its metrics: an evaluation that leaves no files."""

from __future__ import annotations

from nanogen_core.evaluation.evaluate import Evaluation
from nanogen_core.evaluation.options import Certainty, Effort
from nanogen_core.evaluation.score import Score
from nanogen_core.evaluation.subjects import Model
from nanogen_core.pipeline import Pipeline


def judge(
    pipeline: Pipeline, count: int, *, seed: int = 0, batch_size: int = 256, draws: int | None = None
) -> list[Score]:
    """Every score of the task's metrics over `count` samples, with intervals from so many bootstrap draws (0: none)."""
    evaluation = Evaluation(
        metrics=pipeline.task.metrics(), effort=Effort(batch_size=batch_size), certainty=Certainty(draws=draws)
    )
    return evaluation.scores(Model(pipeline, count), [seed])
