"""The manifest: an objective, and a method that uses it. Does not import torch."""

from __future__ import annotations

from nanogen_core.hookspecs import hookimpl
from nanogen_core.specs import Component, Method

NANOGEN_API = 1


@hookimpl
def nanogen_components() -> list[Component]:
    return [
        Component(
            kind="objective",
            name="direction-flow",
            target="direction_nanogen.objective:DirectionFlow",
            config="direction_nanogen.config:DirectionFlowConfig",
            summary="flow matching with a loss of the velocity's direction (arXiv 2410.10356)",
            provides=frozenset({"instantaneous-velocity"}),
        )
    ]


@hookimpl
def nanogen_methods() -> list[Method]:
    return [
        Method(
            name="direction",
            summary="flow matching with a loss of the direction on the latents of a VAE",
            defaults={"objective": "direction-flow", "backbone": "lightning-dit", "tokenizer": "vae"},
        )
    ]
