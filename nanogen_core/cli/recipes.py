"""`nanogen recipes`: lists the configurations in installed plugins."""

from __future__ import annotations

import json
from importlib.resources import files

import click

from nanogen_core.registry import registry


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
def recipes(as_json: bool) -> None:
    """List the configurations in installed plugins, for `nanogen train NAME` and `nanogen config show NAME`."""
    known = dict(sorted(registry().recipes.items()))
    summaries = {name: _summary(file) for name, file in known.items()}
    if as_json:
        described = {name: {"file": file, "summary": summaries[name]} for name, file in known.items()}
        click.echo(json.dumps(described, indent=2))
        return
    width = max(map(len, known), default=0)
    for name, summary in summaries.items():
        click.echo(f"{name:<{width}}  {summary}")


def _summary(recipe: str) -> str:
    """Return the comment in the first line of `"package:folder/file.yaml"`; empty without one."""
    package, _, file = recipe.partition(":")
    first = (files(package) / file).read_text(encoding="utf-8").partition("\n")[0]
    return first.removeprefix("#").strip() if first.startswith("#") else ""
