"""The manifest of nanogen-vae. Loads no torch."""

from __future__ import annotations

from nanogen_core.hookspecs import hookimpl
from nanogen_core.specs import Component, Method

NANOGEN_API = 1


@hookimpl
def nanogen_components() -> list[Component]:
    return [
        Component(
            kind="tokenizer",
            name="vae",
            target="nanogen_vae.tokenizer:VAE",
            config="nanogen_vae.config:VAEConfig",
            summary="a frozen VAE through diffusers: twelve presets, or any AutoencoderKL folder",
        )
    ]


@hookimpl
def nanogen_methods() -> list[Method]:
    return [
        Method(
            name="vae",
            summary="flow matching on the latents of a VAE",
            defaults={"tokenizer": {"name": "vae"}, "backbone": {"name": "ddt"}, "objective": {"name": "flow"}},
        )
    ]
