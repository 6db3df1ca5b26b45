"""Report of skipped runs and files on standard error."""

from __future__ import annotations

from collections.abc import Sequence

import click


def print_left_out(sentences: Sequence[str], items: str) -> None:
    """Print a line for each skipped item, and the number of skipped items.

    Args:
        sentences: Why each item is skipped.
        items: What the items are, such as `"runs"`.
    """
    for sentence in sentences:
        click.echo(f"Damaged or unfinished: {sentence}", err=True)
    if sentences:
        click.echo(f"{items.capitalize()} left out: {len(sentences)}.", err=True)
