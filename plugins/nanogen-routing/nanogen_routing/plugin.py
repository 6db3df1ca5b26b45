"""Plugin manifest: backbones with token routing. Does not import torch."""

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
SEPARATE_PASSES = ("forward", "central", "backward")
DERIVATIVE = (
    "objective.derivative: {!r} compares forward passes, but the backbone {!r} draws other tokens in each of them. Set"
    " `objective.derivative: exact`, or `backbone.share: 0`."
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
    ]


@hookimpl
def nanogen_check(parts: Mapping[str, Chosen], config: Mapping[str, Any]) -> list[str]:
    """Return an error message if the objective compares forward passes with different tokens (MeanFlow)."""
    backbone, objective = parts.get("backbone"), parts.get("objective")
    if backbone is None or objective is None or not backbone.component.target.startswith(HOME):
        return []
    method = objective.options.get("derivative")
    if method not in SEPARATE_PASSES or backbone.options.get("share") == 0:
        return []
    return [DERIVATIVE.format(method, backbone.component.name)]
