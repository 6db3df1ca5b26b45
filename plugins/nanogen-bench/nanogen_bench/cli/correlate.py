"""`nanogen bench correlate`."""

from __future__ import annotations

import json

import click

from nanogen_core.cli.options import DRAWS, SEED
from nanogen_core.errors import ConfigError


@click.command()
@click.argument("file")
@click.option("--x", required=True, metavar="COLUMN", help="The score that is to say something about the others.")
@click.option("--y", "ys", required=True, multiple=True, metavar="COLUMN[,COLUMN]", help="The others; repeatable.")
@click.option("--where", multiple=True, metavar="CONDITION", help="Which rows: family!=pixel, 'fid<4'; repeatable.")
@click.option("--direction", "said", multiple=True, metavar="COLUMN=lower|higher", help="Which is better; repeatable.")
@click.option("--cluster", "clusters", multiple=True, metavar="COLUMN|tokenizer", help="Groups of dependent models.")
@click.option("--draws", type=DRAWS, default=10_000, show_default=True)
@click.option("--seed", type=SEED, default=0, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="JSON in place of tables.")
def correlate(
    file: str,
    x: str,
    ys: tuple[str, ...],
    where: tuple[str, ...],
    said: tuple[str, ...],
    clusters: tuple[str, ...],
    draws: int,
    seed: int,
    as_json: bool,
) -> None:
    """Say how two kinds of score go together over models, and how sure that is.

    FILE is a CSV file with a row for each model, or `published`: the 26 models of DiffusionBench.
    """
    from nanogen_bench.correlation.study import study
    from nanogen_bench.correlation.table import read_table

    found = study(
        read_table(file),
        x=x,
        ys=[name.strip() for names in ys for name in names.split(",") if name.strip()],
        where=where,
        said=dict(map(direction_said, said)),
        clusters=clusters or None,
        draws=draws,
        seed=seed,
    )
    if as_json:
        click.echo(json.dumps(found.as_dict(), indent=2, ensure_ascii=False))
        return
    from rich.console import Console

    from nanogen_bench.correlation.tables import rendered

    console = Console(highlight=False)
    for part in rendered(found):
        console.print(part)


def direction_said(text: str) -> tuple[str, str]:
    """`fid=lower` as the column and the way. Raises ConfigError."""
    column, equals, way = text.partition("=")
    if not equals:
        raise ConfigError(f"--direction takes COLUMN=lower or COLUMN=higher, not {text!r}.")
    return column.strip(), way.strip()
