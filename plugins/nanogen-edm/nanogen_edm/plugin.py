"""Plugin manifest: the objective and the method `edm`. Does not import torch."""

from __future__ import annotations

from nanogen_core.hookspecs import hookimpl
from nanogen_core.specs import Component, Method

NANOGEN_API = 1


@hookimpl
def nanogen_components() -> list[Component]:
    return [
        Component(
            kind="objective",
            name="edm",
            target="nanogen_edm.objective:EDM",
            config="nanogen_edm.config:EDMConfig",
            summary="EDM: preconditioned denoising of x = data + sigma noise (arXiv 2206.00364)",
            provides={"instantaneous-velocity"},
            defaults={"sampler": {"name": "heun", "steps": 18}},
        )
    ]


@hookimpl
def nanogen_methods() -> list[Method]:
    return [
        Method(
            name="edm",
            summary="EDM on the latents of a VAE (arXiv 2206.00364)",
            defaults={"tokenizer": "vae", "backbone": "ddt", "objective": "edm"},
        )
    ]


@hookimpl
def nanogen_recipes() -> dict[str, str]:
    return {"edm-openmoji": "nanogen_edm:recipes/edm-openmoji.yaml"}
