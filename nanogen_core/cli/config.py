"""`nanogen config show` and `nanogen config diff`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import click

from nanogen_core.cli.options import overrides


@click.group()
def config() -> None:
    """Show a resolved configuration, or the lines in which two differ."""


@config.command()
@click.argument("config")
@click.option("--json", "as_json", is_flag=True, help="JSON in place of YAML.")
@overrides
def show(config: str, as_json: bool, settings: tuple[str, ...]) -> None:
    """Print CONFIG with every option that it leaves to a default."""
    from nanogen_core.cli.options import resolved
    from nanogen_core.yaml_files import dump

    values = resolved(config, settings).as_dict()
    click.echo(json.dumps(values, indent=2) if as_json else dump(values).rstrip())


@config.command()
@click.argument("first")
@click.argument("second")
@overrides
def diff(first: str, second: str, settings: tuple[str, ...]) -> None:
    """Print the resolved lines in which FIRST and SECOND differ."""
    from nanogen_core.cli.options import resolved

    a, b = (dict(flat(resolved(name, settings).as_dict())) for name in (first, second))
    for key in [*a, *(key for key in b if key not in a)]:
        if a.get(key, _ABSENT) != b.get(key, _ABSENT):
            click.echo(f"{key}: {_shown(a, key)} -> {_shown(b, key)}")


_ABSENT = object()


def flat(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """`{"train": {"steps": 1}}` as `("train.steps", 1)`."""
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _shown(values: dict[str, Any], key: str) -> str:
    return json.dumps(values[key], ensure_ascii=False) if key in values else "(absent)"
