"""Plugin manifest: the stage and method `drifting`, the objective `one-step`. Does not import torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nanogen_core.errors import NanoGenError
from nanogen_core.hookspecs import hookimpl
from nanogen_core.registry import Chosen, registry
from nanogen_core.specs import Component, Method

NANOGEN_API = 1

GENERATOR = "one-step-generator"  # the objective is a generator; the stage trains it
CFG_CONDITIONED = "cfg-conditioned"
AUXILIARIES = "The stage 'drifting' computes no auxiliary losses. Remove {}."


@hookimpl
def nanogen_components() -> list[Component]:
    return [
        Component(
            kind="stage",
            name="drifting",
            target="nanogen_drifting.stage:Drifting",
            config="nanogen_drifting.config:DriftingConfig",
            summary="trains a one-step generator by a drifting field (arXiv 2602.04770)",
            provides={GENERATOR},
            needs={"objective": {GENERATOR}},
            defaults={
                "objective": "one-step",
                "optimizer": {"name": "adamw", "lr": 4.0e-4},
                "schedule": {"name": "constant", "warmup_steps": 10_000},
                "train": {"steps": 200_000, "batch_size": 128, "gradient_clip": 2.0},
            },
        ),
        Component(
            kind="objective",
            name="one-step",
            target="nanogen_drifting.objective:OneStep",
            summary="a generator from noise to data in one step, with guidance as an input",
            provides={GENERATOR, CFG_CONDITIONED},
            needs={"stage": {GENERATOR}, "backbone": {CFG_CONDITIONED}},
            defaults={
                "stage": "drifting",
                "guidance": {"cfg": None, CFG_CONDITIONED: {"scale": 1.0}},
                "sampler": {"name": "euler", "steps": 1},
            },
        ),
    ]


@hookimpl
def nanogen_methods() -> list[Method]:
    return [
        Method(
            name="drifting",
            summary="one-step generator that drifts in the tokens of a vision encoder (arXiv 2602.04770)",
            defaults={"tokenizer": "rae", "backbone": "lightning-dit", "objective": "one-step", "stage": "drifting"},
        )
    ]


@hookimpl
def nanogen_recipes() -> dict[str, str]:
    return {"drifting-openmoji": "nanogen_drifting:recipes/drifting-openmoji.yaml"}


@hookimpl
def nanogen_check(parts: Mapping[str, Chosen], config: Mapping[str, Any]) -> list[str]:
    """Return an error message for auxiliary losses, for several sampling steps, and for an unknown vision encoder."""
    if parts["stage"].component.name != "drifting":
        return []
    found = []
    names = [name for name, options in config.get("auxiliary", {}).items() if options is not None]
    if names:
        found.append(AUXILIARIES.format(", ".join(f"`auxiliary.{name}`" for name in names)))
    steps = config.get("sampler", {}).get("steps", 1)
    if steps != 1:
        found.append(f"sampler.steps: a one-step generator samples in one step, got {steps}. Set it to 1.")
    return [*found, *_unknown_encoder(config.get("stage", {}).get("features"))]


def _unknown_encoder(named: Any) -> list[str]:
    from nanogen_align.naming import KIND, slot  # not at the top: the plugin scan must stay fast

    name = slot(named).get("name")
    if not isinstance(name, str):  # null, or refused by the validator of the option
        return []
    try:
        registry().component(KIND, name)
    except NanoGenError as error:
        return [f"stage.features: {error}"]
    return []
