"""The manifest of nanogen-arrow. Does not import torch."""

from __future__ import annotations

from nanogen_core.hookspecs import hookimpl
from nanogen_core.specs import Component

NANOGEN_API = 1


@hookimpl
def nanogen_components() -> list[Component]:
    return [
        Component(
            kind="dataset",
            name="arrow",
            target="nanogen_arrow.dataset:Arrow",
            config="nanogen_arrow.config:ArrowConfig",
            summary="Hugging Face datasets on disk (save_to_disk or parquet), with labels or captions",
            provides=frozenset({"labels", "captions"}),
        )
    ]
