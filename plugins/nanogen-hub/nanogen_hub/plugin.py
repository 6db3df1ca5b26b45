"""Plugin manifest: the commands `push` and `export`. Does not import torch."""

from __future__ import annotations

from nanogen_core.hookspecs import hookimpl

NANOGEN_API = 1


@hookimpl
def nanogen_commands() -> dict[str, tuple[str, str]]:
    return {
        "push": ("nanogen_hub.cli:push", "Upload a run with a model card to the Hugging Face hub."),
        "export": ("nanogen_hub.cli:export", "Write a run as a folder for diffusers."),
    }
