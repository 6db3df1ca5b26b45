"""The manifest of nanogen-eval. Does not import torch."""

from __future__ import annotations

from nanogen_core.hookspecs import hookimpl
from nanogen_core.specs import Kind

NANOGEN_API = 1


@hookimpl
def nanogen_kinds() -> list[Kind]:
    return [
        Kind(name="metric", place="group", protocol="nanogen_eval.protocols:Metric", keyword="metrics"),
        Kind(name="features", place="named", protocol="nanogen_eval.protocols:Features"),
    ]


@hookimpl
def nanogen_commands() -> dict[str, tuple[str, str]]:
    return {"evaluate": ("nanogen_eval.cli.evaluate:evaluate", "Score a model's samples, or images from any program.")}
