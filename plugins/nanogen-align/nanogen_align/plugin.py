"""Plugin manifest: four auxiliary losses and a guidance. Does not import torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nanogen_align.naming import DEFAULT_TEACHER, teacher_problem
from nanogen_core.hookspecs import hookimpl
from nanogen_core.specs import Component, Kind

if TYPE_CHECKING:
    from nanogen_core.registry import Chosen

NANOGEN_API = 1

_REPA = Component(
    kind="auxiliary",
    name="repa",
    target="nanogen_align.repa:Repa",
    config="nanogen_align.config:RepaConfig",
    summary="REPA: align block outputs with a vision encoder's patch tokens (arXiv 2410.06940)",
    needs={"backbone": {"features"}},
)

_IREPA = Component(
    kind="auxiliary",
    name="irepa",
    target="nanogen_align.irepa:IRepa",
    config="nanogen_align.config:IRepaConfig",
    summary="iREPA: REPA with a convolution and spatially normalised targets (arXiv 2512.10794)",
    needs={"backbone": {"features"}},
)

_REG = Component(
    kind="auxiliary",
    name="reg",
    target="nanogen_align.reg:Reg",
    config="nanogen_align.config:RegConfig",
    summary="REG: diffuse a vision encoder's class token with the latent (arXiv 2507.01467)",
    provides={"cls-token"},
    needs={"backbone": {"cls-token"}},
)

_DISTILL = Component(
    kind="auxiliary",
    name="distill",
    target="nanogen_align.distill:Distill",
    config="nanogen_align.config:DistillConfig",
    summary="Distillation of the velocity or the features of another pipeline",
)

_INTERNAL = Component(
    kind="guidance",
    name="internal",
    target="nanogen_align.internal:Internal",
    config="nanogen_align.config:InternalConfig",
    summary="Internal guidance: away from the prediction of a head on an intermediate block",
    needs={"backbone": {"internal-head"}},
)


@hookimpl
def nanogen_kinds() -> list[Kind]:
    return [Kind(name="vision_encoder", place="named", protocol="nanogen_align.teacher:VisionEncoder")]


@hookimpl
def nanogen_components() -> list[Component]:
    return [_REPA, _IREPA, _REG, _DISTILL, _INTERNAL]


@hookimpl
def nanogen_check(parts: Mapping[str, Chosen], config: Mapping[str, Any]) -> list[str]:
    """Return an error message for each teacher that is not an installed vision encoder.

    Also returns one if `distill` compares features and the backbone does not provide them.
    """
    chosen = config.get("auxiliary", {})
    losses = {c.name: chosen[c.name] for c in (_REPA, _IREPA, _REG) if chosen.get(c.name) is not None}
    teachers = {name: options.get("teacher", DEFAULT_TEACHER) for name, options in losses.items()}
    lines = [line for name, teacher in teachers.items() if (line := teacher_problem(f"auxiliary.{name}", teacher))]
    return [*lines, *_without_features(parts, chosen)]


def _without_features(parts: Mapping[str, Chosen], chosen: Mapping[str, Any]) -> list[str]:
    """Return an error message if `distill` compares features and the backbone has none."""
    options, backbone = chosen.get(_DISTILL.name) or {}, parts.get("backbone")
    if options.get("match") != "features" or backbone is None or "features" in backbone.component.provides:
        return []
    name = backbone.component.name
    return [f"auxiliary.distill.match: the backbone {name!r} does not provide 'features'. Set match to velocity."]


@hookimpl
def nanogen_recipes() -> dict[str, str]:
    return {"repa-openmoji": "nanogen_align:recipes/repa-openmoji.yaml"}
