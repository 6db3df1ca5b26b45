"""Plugin manifest of nanogen-scaffold. Does not import torch."""

from __future__ import annotations

from nanogen_core.hookspecs import hookimpl

NANOGEN_API = 1


@hookimpl
def nanogen_commands() -> dict[str, tuple[str, str]]:
    return {
        "new-plugin": ("nanogen_scaffold.cli.new_plugin:new_plugin", "Create the project of a new plugin."),
        "check-plugin": (
            "nanogen_scaffold.cli.check_plugin:check_plugin",
            "Check an installed plugin: manifest, contracts, types, a short training.",
        ),
    }
