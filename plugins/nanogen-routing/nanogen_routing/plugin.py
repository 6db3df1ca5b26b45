"""Plugin manifest: four backbones with token routing, and a guidance. Does not import torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nanogen_core.hookspecs import hookimpl
from nanogen_core.specs import Component

if TYPE_CHECKING:
    from nanogen_core.registry import Chosen

NANOGEN_API = 1

HOME = "nanogen_routing."
CAPABILITIES = frozenset(
    {"two-time", "cfg-conditioned", "features", "cls-token", "internal-head", "jvp", "token-times"}
)
PATH_DROP = "path-drop"  # the backbone reads `Condition.extras["path_drop"]`
SECOND_PASS = "second-pass"  # the target of the objective is another forward pass
SEPARATE_PASSES = ("forward", "central", "backward")
DERIVATIVE = (
    "objective.derivative: {!r} compares forward passes, but those of the backbone {!r} differ at random. Set"
    " `objective.derivative: exact`."
)
TARGET = (
    "The target of the objective {!r} is a second forward pass, but the passes of the backbone {!r} differ at random."
    " Set {}, or choose another objective."
)


@hookimpl
def nanogen_components() -> list[Component]:
    return [
        Component(
            kind="backbone",
            name="tread-lightning-dit",
            target="nanogen_routing.tread:TreadLightningDiT",
            config="nanogen_routing.config:TreadLightningDiTConfig",
            summary="LightningDiT whose middle blocks train on half of the tokens (TREAD, arXiv 2501.04765)",
            provides=CAPABILITIES,
        ),
        Component(
            kind="backbone",
            name="tread-ddt",
            target="nanogen_routing.tread:TreadDDT",
            config="nanogen_routing.config:TreadDDTConfig",
            summary="DDT whose middle encoder blocks train on half of the tokens (TREAD, arXiv 2501.04765)",
            provides=CAPABILITIES,
        ),
        Component(
            kind="backbone",
            name="sprint-lightning-dit",
            target="nanogen_routing.sprint:SprintLightningDiT",
            config="nanogen_routing.config:SprintLightningDiTConfig",
            summary="LightningDiT with a deep path on a quarter of the tokens (SPRINT, arXiv 2510.21986)",
            provides=CAPABILITIES | {PATH_DROP},
        ),
        Component(
            kind="backbone",
            name="sprint-ddt",
            target="nanogen_routing.sprint:SprintDDT",
            config="nanogen_routing.config:SprintDDTConfig",
            summary="DDT with a deep path on a quarter of the tokens (SPRINT, arXiv 2510.21986)",
            provides=CAPABILITIES | {PATH_DROP},
        ),
        Component(
            kind="guidance",
            name=PATH_DROP,
            target="nanogen_routing.path_drop:PathDrop",
            config="nanogen_routing.config:PathDropConfig",
            summary="Path-drop guidance: away from the unconditional prediction without the deep path (SPRINT)",
            needs={"backbone": {PATH_DROP}},
            defaults={"guidance": {"cfg": None}},
        ),
    ]


@hookimpl
def nanogen_check(parts: Mapping[str, Chosen], config: Mapping[str, Any]) -> list[str]:
    """Return an error message if the objective compares forward passes of a backbone with random routes.

    Finite differences (MeanFlow) do, and the target of AlphaFlow.
    """
    backbone, objective = parts.get("backbone"), parts.get("objective")
    if backbone is None or objective is None or not backbone.component.target.startswith(HOME):
        return []
    method = objective.options.get("derivative")
    random = ["share", "path_drop"] if PATH_DROP in backbone.component.provides else ["share"]
    if all(backbone.options.get(name) == 0 for name in random):
        return []
    name = backbone.component.name
    advice = " and ".join(f"`backbone.{option}: 0`" for option in random)
    target = [TARGET.format(objective.component.name, name, advice)] * (SECOND_PASS in objective.component.provides)
    return target + [DERIVATIVE.format(method, name)] * (method in SEPARATE_PASSES)


@hookimpl
def nanogen_recipes() -> dict[str, str]:
    return {name: f"nanogen_routing:recipes/{name}.yaml" for name in ("sprint-openmoji", "tread-openmoji")}
