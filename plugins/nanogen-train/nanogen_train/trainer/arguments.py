"""Check the pipeline that a Run receives, and how its network can be called."""

from __future__ import annotations

import inspect
from typing import Any

from torch import nn

from nanogen_core.errors import TrainingError, shown
from nanogen_core.pipeline import Pipeline


def refuse_unusable(pipeline: Any) -> None:
    """Raise TrainingError if this is not a pipeline, or if its network does not take (state, times, condition)."""
    if not isinstance(pipeline, Pipeline):
        raise TrainingError(
            f"Run expects a pipeline, not {shown(pipeline)}: build it first, as in Run(build_pipeline(config), folder)."
        )
    backbone = pipeline.backbone
    if not _takes(backbone, 3):
        name = type(backbone).__name__
        raise TrainingError(
            f"The backbone {name} cannot be trained, because it is called as `backbone(state, times, condition)`:"
            f" give {name}.forward these parameters (docs/protocols.md)."
        )


def _takes(backbone: Any, count: int) -> bool:
    """Return whether a network takes `count` positional arguments. True if its signature is unknown."""
    try:
        signature = inspect.signature(backbone.forward if isinstance(backbone, nn.Module) else backbone)
    except (TypeError, ValueError):  # None for a stage without a backbone, or code without a signature
        return True
    try:
        signature.bind(*range(count))
    except TypeError:
        return False
    return True
