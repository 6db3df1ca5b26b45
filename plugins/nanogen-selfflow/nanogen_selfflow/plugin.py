"""Plugin manifest: the objective, the auxiliary loss and the method `self-flow`. Does not import torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nanogen_core.hookspecs import hookimpl
from nanogen_core.registry import Chosen, registry
from nanogen_core.specs import Component, Method
from nanogen_selfflow.messages import NO_CLS_TOKEN

NANOGEN_API = 1

_OBJECTIVE = Component(
    kind="objective",
    name="self-flow",
    target="nanogen_selfflow.objective:SelfFlow",
    config="nanogen_selfflow.config:SelfFlowConfig",
    summary="flow matching with two times per sample; each token has one of them (arXiv 2603.06507)",
    provides={"instantaneous-velocity"},
    needs={"backbone": {"token-times", "features"}},
)

_AUXILIARY = Component(
    kind="auxiliary",
    name="self-flow",
    target="nanogen_selfflow.alignment:SelfAlignment",
    config="nanogen_selfflow.config:SelfAlignmentConfig",
    summary="align a block with a deeper block of the EMA network on a cleaner input (arXiv 2603.06507)",
    needs={"backbone": {"features"}},
)


@hookimpl
def nanogen_components() -> list[Component]:
    return [_OBJECTIVE, _AUXILIARY]


@hookimpl
def nanogen_methods() -> list[Method]:
    parts: dict[str, Any] = {"tokenizer": "vae", "backbone": "ddt", "objective": "self-flow"}
    return [
        Method(
            name="self-flow",
            summary="Self-Flow on the latents of a VAE (arXiv 2603.06507)",
            defaults={**parts, "auxiliary": {"self-flow": {}}, "stage": {"ema_decay": 0.9999}},
        )
    ]


@hookimpl
def nanogen_recipes() -> dict[str, str]:
    return {"self-flow-openmoji": "nanogen_selfflow:recipes/self-flow-openmoji.yaml"}


@hookimpl
def nanogen_check(parts: Mapping[str, Chosen], config: Mapping[str, Any]) -> list[str]:
    """Return an error message if the objective is combined with a class token (REG)."""
    if parts["objective"].component != _OBJECTIVE:
        return []
    names = [name for name, options in config.get("auxiliary", {}).items() if options is not None]
    has_cls_token = any("cls-token" in registry().component("auxiliary", name).what.provides for name in names)
    return [NO_CLS_TOKEN] * has_cls_token
