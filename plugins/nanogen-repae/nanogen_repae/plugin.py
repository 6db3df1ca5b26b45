"""Plugin manifest: the stage and method `repa-e`, the tokenizer `batch-norm-vae`, autoencoders. No torch."""

from __future__ import annotations

from importlib.util import find_spec

from nanogen_core.hookspecs import hookimpl
from nanogen_core.specs import Component, Kind, Method

NANOGEN_API = 1

END_TO_END = "end-to-end"  # the tokenizer can be trained by the alignment loss


@hookimpl
def nanogen_kinds() -> list[Kind]:
    return [Kind(name="autoencoder", place="named", protocol="nanogen_repae.autoencoder:Autoencoder", module=True)]


@hookimpl
def nanogen_components() -> list[Component]:
    return [
        Component(
            kind="stage",
            name="repa-e",
            target="nanogen_repae.stage:RepaE",
            config="nanogen_repae.config:RepaEConfig",
            summary="trains VAE and backbone together through the alignment loss (arXiv 2504.10483)",
            provides={"trains-tokenizer"},  # `train.init` then loads the tokenizer too
            needs={"tokenizer": {END_TO_END}, "backbone": {"features"}},
            defaults={
                "tokenizer": "batch-norm-vae",
                "auxiliary": {"repa": {"projector": "mlp", "distance": "cosine"}},
                "optimizer": {"name": "adamw", "lr": 1.0e-4, "beta2": 0.999},
                "schedule": "constant",
                "train": {"steps": 400_000, "batch_size": 256},
            },
        ),
        Component(
            kind="tokenizer",
            name="batch-norm-vae",
            target="nanogen_repae.tokenizer:BatchNormVAE",
            config="nanogen_repae.config:BatchNormVAEConfig",
            summary="a VAE whose latents are normalised by running statistics",
            provides={END_TO_END},
        ),
        Component(
            kind="autoencoder",
            name="kl",
            target="nanogen_repae.autoencoder:KLAutoencoder",
            config="nanogen_repae.config:KLConfig",
            summary="AutoencoderKL of diffusers, such as Stable Diffusion's",
        ),
        *_small_autoencoders(),
    ]


@hookimpl
def nanogen_methods() -> list[Method]:
    return [
        Method(
            name="repa-e",
            summary="flow matching, with a VAE that is trained by the alignment loss (arXiv 2504.10483)",
            defaults={
                "tokenizer": "batch-norm-vae",
                "backbone": "lightning-dit",
                "objective": {"name": "flow", "shift": 1.0, "time_mean": None},  # uniform times
                "stage": "repa-e",
            },
        )
    ]


@hookimpl
def nanogen_recipes() -> dict[str, str]:
    return {"repa-e-openmoji": "nanogen_repae:recipes/repa-e-openmoji.yaml"}


def _small_autoencoders() -> list[Component]:
    """Return the autoencoder of nanogen-openmoji, if that is installed."""
    if find_spec("nanogen_openmoji") is None:
        return []
    return [
        Component(
            kind="autoencoder",
            name="openmoji-vae",
            target="nanogen_repae.openmoji:OpenMojiAutoencoder",
            summary="the tiny VAE for emojis",
        )
    ]
