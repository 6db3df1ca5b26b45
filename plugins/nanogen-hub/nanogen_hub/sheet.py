"""The sample sheet of a model card: images from a fixed seed."""

from __future__ import annotations

from pathlib import Path

from attrs import frozen

from nanogen_core.errors import DataError
from nanogen_core.pipeline import Pipeline
from nanogen_files.images import grid, to_pil

SHEET = "samples.png"
COUNT = 16


@frozen
class Sheet:
    """Sample sheet: its requests, seed and steps, or the reason why there is none."""

    requests: tuple[str, ...] = ()
    seed: int = 0
    steps: int = 0
    problem: str = ""


def write_sheet(pipeline: Pipeline, path: Path, seed: int) -> Sheet:
    """Write a sheet of 16 samples for the requests of an evaluation: classes, or held-out captions of the data."""
    if pipeline.backbone is None:
        return Sheet(problem="the pipeline has no backbone, so it generates no images")
    try:
        batch = pipeline.task.eval_batch(COUNT, seed=0)
    except DataError as error:
        return Sheet(problem=f"the requests cannot be read. {error}")
    requests = tuple(pipeline.task.captions(batch))
    images = to_pil(pipeline.sample(batch, seed=seed))
    path.parent.mkdir(parents=True, exist_ok=True)
    grid(images, requests, columns=8).save(path)
    return Sheet(requests=requests, seed=seed, steps=pipeline.sampler.steps)
