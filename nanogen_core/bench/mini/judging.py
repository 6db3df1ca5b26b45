"""The scores of a trained run: its answers to its task's own questions, shown to the metrics of its configuration."""

from __future__ import annotations

from typing import Any

from nanogen_core.evaluation.pixels import on_grid
from nanogen_core.evaluation.score import Score
from nanogen_core.layers import GROUPS
from nanogen_core.pipeline import Pipeline, chunks

BATCH = 128


def judge(pipeline: Pipeline, count: int) -> list[Score]:
    """Every score over `count` pictures; the seed of the questions and of the noise is the run's own."""
    seed = pipeline.config.seed
    metrics = {name: pipeline.task.metrics()[name] for name in pipeline.config.groups["metric"]}
    for metric in metrics.values():
        metric.reset()
    for questions in chunks(pipeline.task.questions(count, seed=seed), BATCH):
        images = on_grid(pipeline.sample(questions, seed=seed, batch_size=BATCH))
        for metric in metrics.values():
            metric.update(images, questions)
    return [
        Score(
            metric=score,
            value=value,
            higher_is_better=metric.higher_is_better,
            n=count,
            component=name,
            values=(value,),
            seeds=(seed,),
            settings={"metric": dict(metric.settings), "sampling": _sampling(pipeline)},
            about={"method": pipeline.config.method, "task": pipeline.config.task},
        )
        for name, metric in metrics.items()
        for score, value in metric.compute().items()
    ]


def _sampling(pipeline: Pipeline) -> dict[str, Any]:
    written = pipeline.config.as_dict()
    return {key: written[key] for key in ("sampler", *GROUPS) if key in ("sampler", "guidance") and key in written}
