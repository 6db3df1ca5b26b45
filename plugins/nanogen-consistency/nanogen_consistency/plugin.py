"""Plugin manifest: two objectives, a sampler, two methods. Does not import torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nanogen_consistency.messages import NO_CLS_TOKEN, NO_JUMP
from nanogen_core.hookspecs import hookimpl
from nanogen_core.registry import Chosen, registry
from nanogen_core.specs import Component, Method
from nanogen_meanflow.messages import of_derivative

NANOGEN_API = 1
SAMPLER = "consistency"
CONSISTENCY = "consistency-function"  # a step of the objective to r = 0 is one jump to the data


@hookimpl
def nanogen_components() -> list[Component]:
    return [
        Component(
            kind="objective",
            name="trigflow",
            target="nanogen_consistency.trigflow:TrigFlow",
            config="nanogen_consistency.config:TrigFlowConfig",
            summary="TrigFlow: diffusion on the arc x = cos(a) data + sin(a) noise (arXiv 2410.11081)",
            provides={"instantaneous-velocity"},
        ),
        Component(
            kind="objective",
            name="scm",
            target="nanogen_consistency.scm:SCM",
            config="nanogen_consistency.config:SCMConfig",
            summary="sCM: continuous-time consistency training and distillation (arXiv 2410.11081)",
            provides={CONSISTENCY},
            needs={"backbone": {"jvp"}},
            # the paper samples without guidance; distillation learns that of the teacher
            defaults={"guidance": {"cfg": None}, "sampler": {"name": SAMPLER, "steps": 2}},
        ),
        Component(
            kind="sampler",
            name=SAMPLER,
            target="nanogen_consistency.sampler:ConsistencySampler",
            config="nanogen_consistency.config:ConsistencySamplerConfig",
            summary="jump to the data, add noise, jump again (arXiv 2303.01469)",
        ),
    ]


@hookimpl
def nanogen_methods() -> list[Method]:
    return [
        _method("trigflow", "TrigFlow on the latents of a VAE (arXiv 2410.11081)"),
        _method("scm", "consistency model on the latents of a VAE, one or two steps (arXiv 2410.11081)"),
    ]


def _method(name: str, summary: str) -> Method:
    return Method(name=name, summary=summary, defaults={"tokenizer": "vae", "backbone": "ddt", "objective": name})


@hookimpl
def nanogen_recipes() -> dict[str, str]:
    names = ("trigflow-openmoji", "scm-openmoji")
    return {name: f"nanogen_consistency:recipes/{name}.yaml" for name in names}


@hookimpl
def nanogen_check(parts: Mapping[str, Chosen], config: Mapping[str, Any]) -> list[str]:
    """Return an error message for each unsupported combination.

    The sampler `consistency` does not support objectives that predict instantaneous velocities. sCM does not
    support a class token (REG). Its `derivative` excludes settings of `train:` such as `compile`.
    """
    return [*_of_sampler(parts), *_of_scm(parts["objective"], config)]


def _of_sampler(parts: Mapping[str, Chosen]) -> list[str]:
    sampler, objective = parts.get("sampler"), parts["objective"].component
    if sampler is None or sampler.component.name != SAMPLER or "instantaneous-velocity" not in objective.provides:
        return []
    return [NO_JUMP.format(objective.name)]


def _of_scm(objective: Chosen, config: Mapping[str, Any]) -> list[str]:
    if CONSISTENCY not in objective.component.provides:
        return []
    names = [name for name, options in config.get("auxiliary", {}).items() if options is not None]
    has_cls_token = any("cls-token" in _provided(name) for name in names)
    derivative = objective.options.get("derivative", "exact")
    return [NO_CLS_TOKEN] * has_cls_token + of_derivative(derivative, config.get("train", {}))


def _provided(auxiliary: str) -> frozenset[str]:
    return registry().component("auxiliary", auxiliary).what.provides
