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
TOLD = "told"  # of a backbone that looks at Condition.told, and of an objective that teaches it to
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
            name="told-meanflow",
            target="nanogen_meanflow.told:ToldMeanFlow",
            config="nanogen_meanflow.config:ToldMeanFlowConfig",
            summary="Improved MeanFlow for any guidance scale and interval, which the network is told of",
            provides={WORD, TOLD},
            needs={"backbone": {"two-time", "jvp", TOLD}},
            defaults={**ABILITIES["defaults"], "guidance": {"cfg": None, "told": {}}},
        ),
        Component(
            kind="guidance",
            name="told",
            target="nanogen_meanflow.told:ToldGuidance",
            config="nanogen_meanflow.config:ToldGuidanceConfig",
            needs={"objective": {TOLD}},
            summary="guidance chosen at sampling, of which the network is told: no further evaluation",
        ),
    ]


@hookimpl
def nanogen_methods() -> list[Method]:
    pixel = {"name": "improved-meanflow", "prediction": "x", **PIXEL_TIMES}
    return [
        _method("meanflow", "one or two steps on the latents of a VAE (arXiv 2505.13447)", "vae", "meanflow"),
        _method("improved-meanflow", "the same as a regression (arXiv 2512.02012)", "vae", "improved-meanflow"),
        _method("told-meanflow", "the same, guidance chosen at sampling (arXiv 2512.02012)", "vae", "told-meanflow"),
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
    """Refuses a further token, which an auxiliary loss may add (REG), and a second backward pass where there is none:
    through compiled blocks, and through blocks whose weights FSDP has given back after the first."""
    objective = parts["objective"]
    if WORD not in objective.component.provides:
        return []
    names = [name for name, options in config.get("auxiliary", {}).items() if options is not None]
    token = any("token" in _provided(name) for name in names)
    train, twice = config.get("train", {}), objective.options.get("derivative", "exact") == "exact"
    compiled = twice and train.get("compile", False)
    shared = twice and train.get("strategy") == "fsdp" and train.get("shard_by", "block") == "block"
    return [TOKEN] * token + [COMPILED] * bool(compiled) + [SHARED] * shared


def _provided(auxiliary: str) -> frozenset[str]:
    return registry().component("auxiliary", auxiliary).what.provides
