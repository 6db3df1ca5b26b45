"""`nanogen plugins`: lists the installed plugins."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import click

from nanogen_core.registry import Offer, Registry, registry


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
def plugins(as_json: bool) -> None:
    """List the installed plugins, their components and methods, and why a plugin is broken."""
    known = registry()
    if as_json:
        click.echo(json.dumps(_described(known), indent=2))
        return
    for plugin in known.plugins:
        state = f"broken: {plugin.error}" if plugin.error else "ok"
        click.echo(f"{plugin.distribution} {plugin.version}  ({plugin.name})  {state}")
    for kind, offers in _by_kind(known).items():
        click.echo(f"\n{kind}")
        width = max(map(len, offers), default=0)
        for name, (summary, distributions) in sorted(offers.items()):
            click.echo(f"  {name:<{width}}  {summary}  [{distributions}]")


def _by_kind(known: Registry) -> dict[str, dict[str, tuple[str, str]]]:
    kinds: dict[str, Mapping[str, Sequence[Offer[Any]]]] = {"method": known.methods, **known.components}
    return {
        kind: {name: (o[0].what.summary, ", ".join(offer.distribution for offer in o)) for name, o in offers.items()}
        for kind, offers in kinds.items()
        if offers
    }


def _described(known: Registry) -> dict[str, Any]:
    return {
        "plugins": [
            {key: getattr(plugin, key) for key in ("distribution", "version", "name", "module", "error")}
            for plugin in known.plugins
        ],
        "offers": {
            kind: {name: {"summary": s, "distributions": d.split(", ")} for name, (s, d) in offers.items()}
            for kind, offers in _by_kind(known).items()
        },
        "recipes": sorted(known.recipes),
    }
