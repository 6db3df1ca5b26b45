"""Plugin manifest: three objectives, a guidance, four methods. Does not import torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nanogen_core.hookspecs import hookimpl
from nanogen_core.registry import Chosen, registry
from nanogen_core.specs import Component, Method
from nanogen_meanflow.messages import NO_CLS_TOKEN, of_derivative

NANOGEN_API = 1

AVERAGE_VELOCITY = "average-velocity"
CFG_CONDITIONED = "cfg-conditioned"  # the backbone reads `Condition.extras["guidance"]`; the objective trains it
CAPABILITIES: dict[str, Any] = {
    "provides": {AVERAGE_VELOCITY},
    "needs": {"backbone": {"two-time", "jvp"}},
    # the network learns guidance, so that sampling needs no CFG; the sampler takes one step
    "defaults": {"guidance": {"cfg": None}, "sampler": {"name": "euler", "steps": 1}},
}


#: Times of the public pixel MeanFlow code at 256 px. Its noise has the standard deviation of the images: no shift.
PIXEL_TIMES: dict[str, Any] = {"time_mean": 0.8, "time_std": 0.8, "shift": 1.0, "flow_time": "one"}


@hookimpl
def nanogen_components() -> list[Component]:
    return [
        Component(
            kind="objective",
            name="meanflow",
            target="nanogen_meanflow.meanflow:MeanFlow",
            config="nanogen_meanflow.config:MeanFlowConfig",
            summary="MeanFlow: average velocities for sampling in one or two steps",
            **CAPABILITIES,
        ),
        Component(
            kind="objective",
            name="improved-meanflow",
            target="nanogen_meanflow.improved:ImprovedMeanFlow",
            config="nanogen_meanflow.config:ImprovedMeanFlowConfig",
            summary="Improved MeanFlow: du/dt along the network's own velocity; x-prediction for pixel MeanFlow",
            **CAPABILITIES,
        ),
        Component(
            kind="objective",
            name="meanflow-cfg-conditioned",
            target="nanogen_meanflow.cfg_conditioned:CFGConditionedMeanFlow",
            config="nanogen_meanflow.config:CFGConditionedMeanFlowConfig",
            summary="Improved MeanFlow with the guidance scale and interval as network inputs",
            provides={AVERAGE_VELOCITY, CFG_CONDITIONED},
            needs={"backbone": {"two-time", "jvp", CFG_CONDITIONED}},
            defaults={**CAPABILITIES["defaults"], "guidance": {"cfg": None, CFG_CONDITIONED: {}}},
        ),
        Component(
            kind="guidance",
            name=CFG_CONDITIONED,
            target="nanogen_meanflow.cfg_conditioned:CFGConditioning",
            config="nanogen_meanflow.config:CFGConditioningConfig",
            needs={"objective": {CFG_CONDITIONED}},
            summary="Guidance scale and interval as network inputs, without a second evaluation",
        ),
    ]


@hookimpl
def nanogen_methods() -> list[Method]:
    pixel = {"name": "improved-meanflow", "prediction": "x", **PIXEL_TIMES}
    return [
        _method("meanflow", "MeanFlow on VAE latents, one or two steps (arXiv 2505.13447)", "vae", "meanflow"),
        _method(
            "improved-meanflow",
            "improved MeanFlow on VAE latents, one or two steps (arXiv 2512.02012)",
            "vae",
            "improved-meanflow",
        ),
        _method(
            "meanflow-cfg-conditioned",
            "improved MeanFlow with guidance chosen at sampling (arXiv 2512.02012)",
            "vae",
            "meanflow-cfg-conditioned",
        ),
        _method("pixel-meanflow", "MeanFlow on pixels with x-prediction (arXiv 2601.22158)", "pixel", pixel),
    ]


def _method(name: str, summary: str, tokenizer: str, objective: Any) -> Method:
    return Method(
        name=name, summary=summary, defaults={"tokenizer": tokenizer, "backbone": "ddt", "objective": objective}
    )


@hookimpl
def nanogen_recipes() -> dict[str, str]:
    return {
        name: f"nanogen_meanflow:recipes/{name}.yaml" for name in ("meanflow", "meanflow-unguided", "pixel-meanflow")
    }


@hookimpl
def nanogen_check(parts: Mapping[str, Chosen], config: Mapping[str, Any]) -> list[str]:
    """Return an error message for each unsupported combination.

    MeanFlow does not support a class token (REG). Its `derivative` excludes settings of `train:` such as `compile`.
    """
    objective = parts["objective"]
    if AVERAGE_VELOCITY not in objective.component.provides:
        return []
    names = [name for name, options in config.get("auxiliary", {}).items() if options is not None]
    has_cls_token = any("cls-token" in _provided(name) for name in names)
    derivative = objective.options.get("derivative", "exact")
    return [NO_CLS_TOKEN] * has_cls_token + of_derivative(derivative, config.get("train", {}))


def _provided(auxiliary: str) -> frozenset[str]:
    return registry().component("auxiliary", auxiliary).what.provides
