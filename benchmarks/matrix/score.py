"""Scores of a pipeline: its task's own metrics, and the Fréchet distance to held-out drawings."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from nanogen_core.pipeline import Pipeline, chunks
from nanogen_core.tensors import Batch
from nanogen_fidelity.distances.frechet import Moments, frechet_distance, moments
from nanogen_openmoji.classifier import SIZE, Classifier

DISTANCE = "frechet"
BATCH = 256

Source = Callable[[Batch], Tensor]  # conditions -> images [B, 3, H, W] in [-1, 1]


class Judge:
    """Scores by name. What is known of real drawings is computed once for each task and image size."""

    def __init__(self) -> None:
        self._classifier = Classifier.load()
        self._held_out: dict[tuple[str, int], Moments] = {}
        self._real: dict[tuple[str, int, int], dict[str, float]] = {}

    def sampled(self, pipeline: Pipeline, count: int, *, steps: int) -> dict[str, float]:
        """The task's metrics over `count` answers to its questions, and the distance of `count` pictures for the
        conditions of held-out drawings (a task's questions may be spread otherwise than its drawings)."""
        seed = pipeline.config.seed
        source: Source = lambda batch: pipeline.sample(batch, seed=seed, steps=steps, batch_size=BATCH)  # noqa: E731
        questions = pipeline.task.eval_batch(count, seed=seed)
        return {**judged(pipeline, source, questions), DISTANCE: self._distance(pipeline, source, count)}

    def real(self, pipeline: Pipeline, count: int) -> dict[str, float]:
        """The same of `count` drawings of the training split: as good as it gets at this number."""
        key = (pipeline.config.task, pipeline.task.image_size, count)
        if key not in self._real:
            drawn = next(pipeline.task.iter_once("train", count))
            scores = judged(pipeline, _images, drawn)
            near = frechet_distance(moments(self._features(_images, drawn)), self._reference(pipeline))
            self._real[key] = {**scores, DISTANCE: near}
        return self._real[key]

    def _distance(self, pipeline: Pipeline, source: Source, count: int) -> float:
        conditions = next(pipeline.task.iter_once("val", count))._replace(images=None)
        return frechet_distance(moments(self._features(source, conditions)), self._reference(pipeline))

    def _reference(self, pipeline: Pipeline) -> Moments:
        """Of all held-out drawings, at the pipeline's own size."""
        key = (pipeline.config.task, pipeline.task.image_size)
        if key not in self._held_out:
            batches: Iterator[Batch] = pipeline.task.iter_once("val", BATCH)
            self._held_out[key] = moments(torch.cat([self._features(_images, batch) for batch in batches]))
        return self._held_out[key]

    @torch.no_grad()
    def _features(self, source: Source, conditions: Batch) -> Tensor:
        """What the classifier sees in the images of a source: [N, 128]."""
        return torch.cat([self._classifier.features(enlarged(source(part))) for part in chunks(conditions, BATCH)])


def judged(pipeline: Pipeline, source: Source, conditions: Batch) -> dict[str, float]:
    """Every score of the task's metrics for the images of a source."""
    parts = pipeline.config.groups["metric"].values()
    metrics = [pipeline.parts.build(part) for part in parts]  # new ones: those of the task go on counting
    for part in chunks(conditions, BATCH):
        images = enlarged(source(part))
        for metric in metrics:
            metric.update(images, part)
    return {name: value for metric in metrics for name, value in metric.compute().items()}


def enlarged(images: Tensor) -> Tensor:
    """Images [B, 3, S, S] at the size that the judges were trained on: [B, 3, 64, 64].

    The judges' own bilinear resizing blurs: of real drawings with 32 px it leaves 0.70 to be recognised, this 1.00.
    """
    if images.shape[-1] == SIZE:
        return images
    return F.interpolate(images, size=(SIZE, SIZE), mode="bicubic", antialias=True).clamp(-1, 1)


def _images(batch: Batch) -> Tensor:
    assert batch.images is not None
    return batch.images
