"""Plugin manifest: the objective and the method `alphaflow`. Does not import torch."""

from __future__ import annotations

from nanogen_core.hookspecs import hookimpl
from nanogen_core.specs import Component, Method

NANOGEN_API = 1


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
            defaults={"tokenizer": "vae", "backbone": "ddt", "objective": "alphaflow"},
        )
    ]


@hookimpl
def nanogen_recipes() -> dict[str, str]:
    return {"alphaflow-openmoji": "nanogen_alphaflow:recipes/alphaflow-openmoji.yaml"}
