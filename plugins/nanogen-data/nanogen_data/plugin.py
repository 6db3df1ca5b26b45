"""Plugin manifest of nanogen-data. Does not import torch."""

from __future__ import annotations

from nanogen_core.hookspecs import hookimpl

NANOGEN_API = 1


@hookimpl
def nanogen_commands() -> dict[str, tuple[str, str]]:
    return {"data": ("nanogen_data.cli.data:data", "Compute latent statistics (stats), precompute latents (prepare).")}
