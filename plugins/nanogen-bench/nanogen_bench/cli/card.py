"""The command `nanogen bench card`."""

from __future__ import annotations

import json
from pathlib import Path

import click

#: File -> pattern that identifies files of this command.
OWN_FILES = {
    "card.json": r'\A\{\n  "format": \d+,\n  "model": .*\n  "family": .*\n  "tokenizer": .*\n  "tasks": \{',
    "card.md": r"\n↑: higher is better; ↓: lower is better\. Intervals are bootstrap intervals",
}


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="[NAME=]RUN...")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of Markdown.")
@click.option("--output", type=click.Path(path_type=Path), help="Folder for card.md and card.json.")
def card(runs: tuple[str, ...], as_json: bool, output: Path | None) -> None:
    """Write the card of one model: scores of its runs on both tasks, with seeds, intervals and fingerprints."""
    from nanogen_bench.cli.replacing import refuse_foreign
    from nanogen_bench.collected.card import card as model_card
    from nanogen_bench.collected.card import markdown
    from nanogen_bench.collected.entries import entries
    from nanogen_files import storage

    if output is not None:
        for name, pattern in OWN_FILES.items():
            refuse_foreign(output / name, pattern, "bench card")
    found = model_card(entries(runs))
    if output is None:
        click.echo(json.dumps(found, indent=2, ensure_ascii=False) if as_json else markdown(found), nl=as_json)
        return
    storage.write_json(output / "card.json", found)
    storage.write_text(output / "card.md", markdown(found))
    click.echo(f"{output / 'card.md'}, {output / 'card.json'}")
