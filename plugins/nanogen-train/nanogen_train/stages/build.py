"""Construction of a pipeline's stage."""

from __future__ import annotations

import inspect

from nanogen_core.config import Resolved, import_object
from nanogen_core.errors import ConfigError, listing
from nanogen_core.pipeline import Pipeline
from nanogen_train.protocols import Stage


def stage_of(pipeline: Pipeline) -> Stage:
    """Build the stage of a pipeline. The stage can take the pipeline as its argument `pipeline`.

    Raises:
        ConfigError: Auxiliary losses are configured, but the stage does not take them.
    """
    _refuse_ignored(pipeline.config)
    pipeline.parts.supply("pipeline", pipeline)
    stage: Stage = pipeline.parts["stage"]
    return stage


def _refuse_ignored(config: Resolved) -> None:
    """Raise ConfigError for auxiliary losses that the stage's constructor does not take as `auxiliaries`."""
    names, part = list(config.groups["auxiliary"]), config.slots["stage"]
    if not names or part.instance is not None:
        return
    if "auxiliaries" not in inspect.signature(import_object(part.chosen.component.target)).parameters:
        raise ConfigError(
            f"The stage {part.name!r} computes no auxiliary losses: remove {listing(names)} from `auxiliary`, or choose"
            " another stage."
        )
