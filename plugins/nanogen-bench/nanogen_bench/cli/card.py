"""`nanogen bench card`."""

from __future__ import annotations

import json
from pathlib import Path

import click

#: What the files of this command hold, by name.
OURS = {
    "card.json": r'\A\{\n  "format": \d+,\n  "model": .*\n  "family": .*\n  "tokenizer": .*\n  "tasks": \{',
    "card.md": r"\nArrows point to the better side\. An interval is the bootstrap's over images or prompts",
}


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="[NAME=]RUN...")
@click.option("--json", "as_json", is_flag=True, help="JSON in place of Markdown.")
@click.option("--output", type=click.Path(path_type=Path), help="A folder for card.md and card.json.")
def card(runs: tuple[str, ...], as_json: bool, output: Path | None) -> None:
    """Write the entry of one model: its runs on both tasks, seeds, intervals, fingerprints."""
    from nanogen_bench.cli.replacing import refuse_foreign
    from nanogen_bench.collected.card import card as entry
    from nanogen_bench.collected.card import markdown
    from nanogen_bench.collected.entries import entries
    from nanogen_files import storage

    if output is not None:
        for name, ours in OURS.items():
            refuse_foreign(output / name, ours, "bench card")
    found = entry(entries(runs))
    if output is None:
        click.echo(json.dumps(found, indent=2, ensure_ascii=False) if as_json else markdown(found), nl=as_json)
        return
    storage.write_json(output / "card.json", found)
    storage.write_text(output / "card.md", markdown(found))
    click.echo(f"{output / 'card.md'}, {output / 'card.json'}")
