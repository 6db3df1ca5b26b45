"""The command `nanogen bench correlate`."""

from __future__ import annotations

import json

import click

from nanogen_core.cli.options import DRAWS, SEED
from nanogen_core.errors import ConfigError


@click.command()
@click.argument("file")
@click.option("--x", required=True, metavar="COLUMN", help="Score of the first task.")
@click.option(
    "--y", "ys", required=True, multiple=True, metavar="COLUMN[,COLUMN]", help="Scores of the other task; repeatable."
)
@click.option(
    "--where", multiple=True, metavar="CONDITION", help="Rows to use, such as family!=pixel or 'fid<4'; repeatable."
)
@click.option(
    "--direction",
    "directions",
    multiple=True,
    metavar="COLUMN=lower|higher",
    help="Which values of a column are better; repeatable.",
)
@click.option(
    "--cluster",
    "clusters",
    multiple=True,
    metavar="COLUMN|tokenizer",
    help="Column of groups of dependent models, for cluster bootstraps; repeatable.",
)
@click.option("--draws", type=DRAWS, default=10_000, show_default=True, help="Bootstrap draws and permutations.")
@click.option("--seed", type=SEED, default=0, show_default=True, help="Seed of the draws.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def correlate(
    file: str,
    x: str,
    ys: tuple[str, ...],
    where: tuple[str, ...],
    directions: tuple[str, ...],
    clusters: tuple[str, ...],
    draws: int,
    seed: int,
    as_json: bool,
) -> None:
    """Correlate the score --x with the scores --y over models, with intervals, p-values and power.

    FILE is a CSV file with one row per model, or `published` for the 26 models of the DiffusionBench paper.
    """
    from nanogen_bench.correlation.study import study
    from nanogen_bench.correlation.table import read_table

    found = study(
        read_table(file),
        x=x,
        ys=[name.strip() for names in ys for name in names.split(",") if name.strip()],
        where=where,
        directions=dict(map(parse_direction, directions)),
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


def parse_direction(text: str) -> tuple[str, str]:
    """Split `fid=lower` into column and direction. Raises ConfigError if there is no `=`."""
    column, equals, direction = text.partition("=")
    if not equals:
        raise ConfigError(f"--direction takes COLUMN=lower or COLUMN=higher, not {text!r}.")
    return column.strip(), direction.strip()
