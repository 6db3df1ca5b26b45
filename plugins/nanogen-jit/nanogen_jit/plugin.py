"""Plugin manifest: a backbone, a tokenizer and a method. Does not import torch."""

from __future__ import annotations

from nanogen_core.hookspecs import hookimpl
from nanogen_core.specs import Component, Method

NANOGEN_API = 1
RECIPES = ("jit-b-16", "jit-b-32-512", "jit-openmoji")


@hookimpl
def nanogen_components() -> list[Component]:
    return [
        Component(
            kind="backbone",
            name="jit",
            target="nanogen_jit.network:JiT",
            config="nanogen_jit.config:JiTConfig",
            summary="JiT: bottleneck patch embedding, RoPE, SwiGLU, adaLN-Zero and in-context condition tokens",
            provides={"two-time", "features", "jvp"},
        ),
        Component(
            kind="tokenizer",
            name="scaled-pixel",
            target="nanogen_jit.tokenizer:ScaledPixel",
            config="nanogen_jit.config:ScaledPixelConfig",
            summary="Pixels divided by JiT's noise scale",
        ),
    ]


@hookimpl
def nanogen_methods() -> list[Method]:
    return [
        Method(
            name="jit-transformer",
            summary="JiT as published: its own pixel transformer, x-prediction, times and noise scale (2511.13720)",
            defaults={
                "tokenizer": "scaled-pixel",
                "backbone": "jit",
                # the paper's time 1 - t has the logit-normal distribution (-0.8, 0.8)
                "objective": {"name": "flow", "prediction": "x", "time_mean": 0.8, "time_std": 0.8, "shift": 1.0},
                "sampler": {"name": "heun", "steps": 50},
            },
        )
    ]


@hookimpl
def nanogen_recipes() -> dict[str, str]:
    return {name: f"nanogen_jit:recipes/{name}.yaml" for name in RECIPES}
