"""Plugin manifest: two auxiliary losses, an objective and a method. Does not import torch."""

from __future__ import annotations

from nanogen_core.hookspecs import hookimpl
from nanogen_core.specs import Component, Method

NANOGEN_API = 1


@hookimpl
def nanogen_components() -> list[Component]:
    return [
        Component(
            kind="auxiliary",
            name="dispersive",
            target="nanogen_selfsupervised.dispersive:Dispersive",
            config="nanogen_selfsupervised.config:DispersiveConfig",
            summary="Dispersive loss: move the block outputs of a batch apart (arXiv 2506.09027)",
            needs={"backbone": {"features"}},
        ),
        Component(
            kind="auxiliary",
            name="sra",
            target="nanogen_selfsupervised.sra:SelfAlignment",
            config="nanogen_selfsupervised.config:SelfAlignmentConfig",
            summary="SRA: align a block with a deeper block of the EMA at a smaller time (arXiv 2505.02831)",
            needs={"backbone": {"features"}},
        ),
        Component(
            kind="objective",
            name="contrastive-flow",
            target="nanogen_selfsupervised.contrastive:ContrastiveFlow",
            config="nanogen_selfsupervised.config:ContrastiveFlowConfig",
            summary="Contrastive flow matching: away from the velocities of other samples (arXiv 2506.05350)",
            provides={"instantaneous-velocity"},
        ),
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


@hookimpl
def nanogen_recipes() -> dict[str, str]:
    names = ("contrastive-openmoji", "dispersive-openmoji", "sra-openmoji")
    return {name: f"nanogen_selfsupervised:recipes/{name}.yaml" for name in names}
