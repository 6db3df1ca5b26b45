"""Plugin manifest: the objective and the method `alphaflow`. Does not import torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nanogen_core.hookspecs import hookimpl
from nanogen_core.registry import Chosen
from nanogen_core.specs import Component, Method

NANOGEN_API = 1
ALL_FLOW = (
    "objective.alpha_end: AlphaFlow does not begin within {steps} steps (train.steps), because alpha falls until step"
    " {end}. Set objective.alpha_end to {steps} or less."
)


@hookimpl
def nanogen_components() -> list[Component]:
    return [
        Component(
            kind="objective",
            name="alphaflow",
            target="nanogen_alphaflow.objective:AlphaFlow",
            config="nanogen_alphaflow.config:AlphaFlowConfig",
            summary="AlphaFlow: a curriculum from flow matching to MeanFlow (arXiv 2510.20771)",
            provides={"average-velocity", "second-pass"},  # the checks of nanogen-meanflow apply
            needs={"backbone": {"two-time", "jvp"}},
            defaults={"guidance": {"cfg": None}, "sampler": {"name": "euler", "steps": 1}},
        )
    ]


@hookimpl
def nanogen_methods() -> list[Method]:
    return [
        Method(
            name="alphaflow",
            summary="AlphaFlow on VAE latents, one or two steps (arXiv 2510.20771)",
            defaults={
                "tokenizer": "vae",
                "backbone": "ddt",
                "objective": "alphaflow",
                "train": {"steps": 400_000},  # of the public code; `alpha_end` is the same step
            },
        )
    ]


@hookimpl
def nanogen_recipes() -> dict[str, str]:
    return {"alphaflow-openmoji": "nanogen_alphaflow:recipes/alphaflow-openmoji.yaml"}


@hookimpl
def nanogen_check(parts: Mapping[str, Chosen], config: Mapping[str, Any]) -> list[str]:
    """Return an error message if alpha is 1 at every step of the run: the loss would be that of flow matching."""
    objective, steps = parts["objective"], config.get("train", {}).get("steps")
    if objective.component.name != "alphaflow" or not isinstance(steps, int):
        return []
    from nanogen_alphaflow.config import AlphaFlowConfig  # not at the top: the plugin scan must stay fast

    try:
        options = AlphaFlowConfig(**objective.options)
    except (TypeError, ValueError):  # the validators of the options report it
        return []
    return [ALL_FLOW.format(steps=steps, end=options.alpha_end)] if options.alpha(steps) == 1 else []
