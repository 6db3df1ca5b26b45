"""The manifest of nanogen-pixel. Loads no torch."""

from __future__ import annotations

from nanogen_core.hookspecs import hookimpl
from nanogen_core.specs import Component, Method

NANOGEN_API = 1


@hookimpl
def nanogen_components() -> list[Component]:
    return [
        Component(
            kind="tokenizer",
            name="pixel",
            target="nanogen_pixel.tokenizer:Pixel",
            summary="no tokenizer: the latent is the image",
        )
    ]


@hookimpl
def nanogen_methods() -> list[Method]:
    return [
        Method(
            name="pixel",
            summary="flow matching on pixels, x-prediction (JiT, arXiv 2511.13720)",
            defaults={
                "tokenizer": {"name": "pixel"},
                "backbone": {"name": "ddt"},
                # trained with the shift that follows from the image's size, sampled without one
                "objective": {
                    "name": "flow",
                    "prediction": "x",
                    "time_mean": -1.1,
                    "time_std": 0.8,
                    "sample_shift": 1.0,
                },
            },
        )
    ]
