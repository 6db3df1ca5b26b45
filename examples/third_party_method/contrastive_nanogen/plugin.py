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
            name="contrastive-flow",
            target="contrastive_nanogen.objective:ContrastiveFlow",
            config="contrastive_nanogen.config:ContrastiveFlowConfig",
            summary="contrastive flow matching (arXiv 2506.05350)",
            provides=frozenset({"instantaneous-velocity"}),
        )
    ]


@hookimpl
def nanogen_methods() -> list[Method]:
    return [
        Method(
            name="contrastive",
            summary="contrastive flow matching on the latents of a VAE",
            defaults={"objective": "contrastive-flow", "backbone": "lightning-dit", "tokenizer": "vae"},
        )
    ]
