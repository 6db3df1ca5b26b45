"""Plugin manifest: the tokenizer and the method `vae`. Does not import torch."""

from __future__ import annotations

from nanogen_core.hookspecs import hookimpl
from nanogen_core.specs import Component, Method

NANOGEN_API = 1

#: Recipes of DiffusionBench (arXiv 2606.24888), and SiT. All support both tasks.
RECIPES = (
    "e2e-flux1-vae",
    "e2e-qwen-image-vae",
    "e2e-qwen-image-vae-512",
    "e2e-sd35-vae",
    "e2e-vavae",
    "flux1-vae",
    "flux2-vae",
    "flux2-vae-512",
    "flux2-vae-reg",
    "qwen-image-vae",
    "qwen-image-vae-512",
    "sd-vae-ema",
    "sd-vae-ema-reg",
    "sd-vae-mse",
    "sd35-vae",
    "sdxl-vae",
    "sit",
)


@hookimpl
def nanogen_components() -> list[Component]:
    return [
        Component(
            kind="tokenizer",
            name="vae",
            target="nanogen_vae.tokenizer:VAE",
            config="nanogen_vae.config:VAEConfig",
            summary="Frozen VAE of diffusers: twelve presets, or a folder of a supported class",
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


@hookimpl
def nanogen_recipes() -> dict[str, str]:
    return {name: f"nanogen_vae:recipes/{name}.yaml" for name in RECIPES}
