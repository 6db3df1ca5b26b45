"""The manifest: three objectives, a guidance, four methods. Importing it loads no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nanogen_core.hookspecs import hookimpl
from nanogen_core.registry import Chosen, registry
from nanogen_core.specs import Component, Method
from nanogen_meanflow.refusals import COMPILED, SHARED, TOKEN

NANOGEN_API = 1

WORD = "average-velocity"
CONDITIONED = "cfg-conditioned"  # a backbone that reads `Condition.extras["guidance"]`, an objective that trains it
ABILITIES: dict[str, Any] = {
    "provides": {WORD},
    "needs": {"backbone": {"two-time", "jvp"}},
    # guidance is learnt, and one step is what the method is for
    "defaults": {"guidance": {"cfg": None}, "sampler": {"name": "euler", "steps": 1}},
}


#: Of the public code at 256 px. Its noise has the standard deviation of the images, so times are not shifted.
PIXEL_TIMES: dict[str, Any] = {"time_mean": 0.8, "time_std": 0.8, "shift": 1.0, "flow_time": "one"}


@hookimpl
def nanogen_components() -> list[Component]:
    return [
        Component(
            kind="objective",
            name="meanflow",
            target="nanogen_meanflow.meanflow:MeanFlow",
            config="nanogen_meanflow.config:MeanFlowConfig",
            summary="MeanFlow: the network predicts the average velocity, and samples in one or two steps",
            **ABILITIES,
        ),
        Component(
            kind="objective",
            name="improved-meanflow",
            target="nanogen_meanflow.improved:ImprovedMeanFlow",
            config="nanogen_meanflow.config:ImprovedMeanFlowConfig",
            summary="Improved MeanFlow: a regression on velocities; also on images (pixel MeanFlow)",
            **ABILITIES,
        ),
        Component(
            kind="objective",
            name="meanflow-cfg-conditioned",
            target="nanogen_meanflow.cfg_conditioned:CFGConditionedMeanFlow",
            config="nanogen_meanflow.config:CFGConditionedMeanFlowConfig",
            summary="Improved MeanFlow with the guidance scale and interval as inputs of the network",
            provides={WORD, CONDITIONED},
            needs={"backbone": {"two-time", "jvp", CONDITIONED}},
            defaults={**ABILITIES["defaults"], "guidance": {"cfg": None, CONDITIONED: {}}},
        ),
        Component(
            kind="guidance",
            name=CONDITIONED,
            target="nanogen_meanflow.cfg_conditioned:CFGConditioning",
            config="nanogen_meanflow.config:CFGConditioningConfig",
            needs={"objective": {CONDITIONED}},
            summary="guidance as an input of the network: no second evaluation",
        ),
    ]


@hookimpl
def nanogen_methods() -> list[Method]:
    pixel = {"name": "improved-meanflow", "prediction": "x", **PIXEL_TIMES}
    return [
        _method("meanflow", "one or two steps on the latents of a VAE (arXiv 2505.13447)", "vae", "meanflow"),
        _method("improved-meanflow", "the same as a regression (arXiv 2512.02012)", "vae", "improved-meanflow"),
        _method(
            "meanflow-cfg-conditioned",
            "the same, guidance chosen at sampling (arXiv 2512.02012)",
            "vae",
            "meanflow-cfg-conditioned",
        ),
        _method("pixel-meanflow", "one or two steps on pixels, x-prediction (arXiv 2601.22158)", "pixel", pixel),
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
    """Refuses a class token, which an auxiliary loss may add (REG), and a second backward pass where there is none:
    through compiled blocks, and through blocks whose weights FSDP has given back after the first."""
    objective = parts["objective"]
    if WORD not in objective.component.provides:
        return []
    names = [name for name, options in config.get("auxiliary", {}).items() if options is not None]
    token = any("cls-token" in _provided(name) for name in names)
    train, twice = config.get("train", {}), objective.options.get("derivative", "exact") == "exact"
    compiled = twice and train.get("compile", False)
    shared = twice and train.get("strategy") == "fsdp" and train.get("shard_by", "block") == "block"
    return [TOKEN] * token + [COMPILED] * bool(compiled) + [SHARED] * shared


def _provided(auxiliary: str) -> frozenset[str]:
    return registry().component("auxiliary", auxiliary).what.provides
