"""Construction of a pipeline's stage."""

from __future__ import annotations

from nanogen_core.pipeline import Pipeline
from nanogen_train.protocols import Stage


def stage_of(pipeline: Pipeline) -> Stage:
    """Build the stage of a pipeline. The stage can take the pipeline as its argument `pipeline`."""
    pipeline.parts.supply("pipeline", pipeline)
    stage: Stage = pipeline.parts["stage"]
    return stage
