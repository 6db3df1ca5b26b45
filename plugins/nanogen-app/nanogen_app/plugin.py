"""Plugin manifest: the command `app`. Does not import torch."""

from __future__ import annotations

from nanogen_core.hookspecs import hookimpl

NANOGEN_API = 1


@hookimpl
def nanogen_commands() -> dict[str, tuple[str, str]]:
    return {"app": ("nanogen_app.cli:app", "Open a page that generates images with one or two runs.")}
