"""The manifest: what this plugin offers. Does not import torch."""

from __future__ import annotations

from nanogen_core.hookspecs import hookimpl
from nanogen_core.specs import Component

NANOGEN_API = 1


@hookimpl
def nanogen_components() -> list[Component]:
    return [
        Component(
            kind="stage",
            name="placeholder",
            target="nanogen_placeholder.stage:Placeholder",
            config="nanogen_placeholder.config:PlaceholderConfig",
            summary="Trains the backbone and its exponential moving average",
        )
    ]
