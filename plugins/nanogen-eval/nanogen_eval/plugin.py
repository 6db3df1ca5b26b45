"""The manifest of nanogen-eval. Does not import torch."""

from __future__ import annotations

from nanogen_core.hookspecs import hookimpl
from nanogen_core.specs import Component, Kind

NANOGEN_API = 1


@hookimpl
def nanogen_kinds() -> list[Kind]:
    return [
        Kind(name="metric", place="group", protocol="nanogen_eval.protocols:Metric", keyword="metrics"),
        Kind(name="features", place="named", protocol="nanogen_eval.protocols:Features"),
        Kind(name="evaluator", place="named", protocol="nanogen_eval.protocols:Evaluator"),
    ]


@hookimpl
def nanogen_components() -> list[Component]:
    return [
        Component(
            kind="evaluator",
            name="samples",
            target="nanogen_eval.while_training:Samples",
            config="nanogen_eval.while_training_config:SamplesConfig",
            summary="scores samples of the EMA weights during training (train.evaluate)",
        )
    ]


@hookimpl
def nanogen_commands() -> dict[str, tuple[str, str]]:
    return {"evaluate": ("nanogen_eval.cli.evaluate:evaluate", "Score a model's samples, or images from any program.")}
