"""What a command left out, on the stream of errors: a line for each, and their number."""

from __future__ import annotations

from collections.abc import Sequence

import click


def say_left_out(sentences: Sequence[str], what: str) -> None:
    """Print the sentences, and how many of `what` they are."""
    for sentence in sentences:
        click.echo(f"Damaged or unfinished: {sentence}", err=True)
    if sentences:
        click.echo(f"{len(sentences)} {what} left out.", err=True)
