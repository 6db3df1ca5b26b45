"""The manifest: what this plugin offers. Does not import torch."""

from __future__ import annotations

from nanogen_core.hookspecs import hookimpl
from nanogen_core.specs import Component

NANOGEN_API = 1


@hookimpl
def nanogen_components() -> list[Component]:
    return [
        Component(
            kind="task",
            name="placeholder",
            target="nanogen_placeholder.task:Placeholder",
            config="nanogen_placeholder.config:PlaceholderConfig",
            summary="Text-to-image on any dataset with captions",
            provides=frozenset({"captions"}),
            needs={"dataset": {"captions"}},
            defaults={
                "conditioner": {"name": "text"},
                "encoder": {"name": "minilm"},
                "dataset": {"name": "webdataset"},
            },
        )
    ]
