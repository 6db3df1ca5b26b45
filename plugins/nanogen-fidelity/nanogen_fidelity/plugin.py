"""The manifest: feature extractors and the metrics of image fidelity. Importing it loads no torch."""

from __future__ import annotations

from nanogen_core.hookspecs import hookimpl
from nanogen_core.specs import Component

NANOGEN_API = 1


@hookimpl
def nanogen_components() -> list[Component]:
    return []
