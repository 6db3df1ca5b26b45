"""`nanogen config show` and `nanogen config diff`: print and compare resolved configurations."""

from __future__ import annotations

import json
from typing import Any

import click

from nanogen_core.cli.options import overrides
from nanogen_files.config_diff import ABSENT, differences


@click.group()
def config() -> None:
    """Show a resolved configuration, or compare two."""


@config.command()
@click.argument("config")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of YAML.")
@overrides
def show(config: str, as_json: bool, settings: tuple[str, ...]) -> None:
    """Print CONFIG (a file or recipe) with all options, including defaults."""
    from nanogen_core.cli.options import resolved
    from nanogen_files.yaml_files import dump

    values = resolved(config, settings).as_dict()
    click.echo(json.dumps(values, indent=2) if as_json else dump(values).rstrip())


@config.command()
@click.argument("first")
@click.argument("second")
@overrides
def diff(first: str, second: str, settings: tuple[str, ...]) -> None:
    """Print the options in which FIRST and SECOND differ after resolution. --set changes only SECOND."""
    from nanogen_core.cli.options import resolved

    lines = differences(resolved(first, ()).as_dict(), resolved(second, settings).as_dict())
    shown = [f"{line.key}: {_shown(line.first)} -> {_shown(line.second)}" for line in lines]
    click.echo("\n".join(shown) or "No differences.")


def _shown(value: Any) -> str:
    return ABSENT if value == ABSENT else json.dumps(value, ensure_ascii=False)
