"""A pipeline's answers to its task's own questions, shown to its metrics."""

from __future__ import annotations

from nanogen_core.pipeline import Pipeline, chunks


def judge(pipeline: Pipeline, count: int, *, seed: int = 0, batch_size: int = 256) -> dict[str, float]:
    """Every score of the task's metrics over `count` samples, by name. Batches go through and are forgotten."""
    metrics = pipeline.task.metrics()
    for metric in metrics.values():
        metric.reset()
    for questions in chunks(pipeline.task.questions(count, seed=seed), batch_size):
        images = pipeline.sample(questions, seed=seed, batch_size=batch_size)
        for metric in metrics.values():
            metric.update(images, questions)
    return {name: value for metric in metrics.values() for name, value in metric.compute().items()}
