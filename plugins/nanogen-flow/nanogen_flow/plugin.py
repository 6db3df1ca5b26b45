"""Plugin manifest: the objective `flow`. Does not import torch."""

from __future__ import annotations

from nanogen_core.hookspecs import hookimpl
from nanogen_core.specs import Component

NANOGEN_API = 1


@hookimpl
def nanogen_components() -> list[Component]:
    return [
        Component(
            kind="objective",
            name="flow",
            target="nanogen_flow.objective:Flow",
            config="nanogen_flow.config:FlowConfig",
            summary="Rectified flow with velocity or data prediction",
            provides=frozenset({"instantaneous-velocity"}),
        )
    ]
