"""The manifest: one objective, and a method that uses it. Importing it loads no torch."""

from __future__ import annotations

from nanogen_core.hookspecs import hookimpl
from nanogen_core.specs import Component, Method

NANOGEN_API = 1


@hookimpl
def nanogen_components() -> list[Component]:
    return [
        Component(
            kind="objective",
            name="contrastive-flow",
            target="contrastive_nanogen.objective:ContrastiveFlow",
            config="contrastive_nanogen.config:ContrastiveFlowConfig",
            summary="Flow matching that keeps away from the velocities of other samples (arXiv 2506.05350)",
            provides=frozenset({"instantaneous-velocity"}),
        )
    ]


@hookimpl
def nanogen_methods() -> list[Method]:
    return [
        Method(
            name="contrastive",
            summary="Contrastive flow matching in the latents of a frozen VAE",
            defaults={"objective": "contrastive-flow", "backbone": "lightning-dit", "tokenizer": "vae"},
        )
    ]
