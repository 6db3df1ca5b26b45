"""The stage of a pipeline."""

from __future__ import annotations

from nanogen_core.pipeline import Pipeline
from nanogen_train.protocols import Stage


def stage_of(pipeline: Pipeline) -> Stage:
    """The stage that trains this pipeline, built with the pipeline as its part `pipeline`."""
    pipeline.parts.supply("pipeline", pipeline)
    stage: Stage = pipeline.parts["stage"]
    return stage
