"""The manifest of nanogen-import. Does not import torch."""

from __future__ import annotations

from nanogen_core.hookspecs import hookimpl

NANOGEN_API = 1


@hookimpl
def nanogen_commands() -> dict[str, tuple[str, str]]:
    return {"import": ("nanogen_import.cli:import_", "Convert a published checkpoint into a saved pipeline.")}
