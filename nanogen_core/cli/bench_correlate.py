"""`nanogen bench correlate`."""

from __future__ import annotations

import click


@click.command()
def correlate() -> None:
    """Say how two kinds of score go together over models, and how sure that is."""
