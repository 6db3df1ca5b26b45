"""The command `nanogen bench report`."""

from __future__ import annotations

from pathlib import Path

import click

from nanogen_core.cli.options import DRAWS

MADE_BY = "nanogen bench report"  # in the footer of every page


@click.command()
@click.argument("place", metavar="FOLDER|TABLE.csv")
@click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False), help="HTML file; by default next to the table."
)
@click.option("--x", "xs", multiple=True, metavar="COLUMN", help="Scores of the first task; repeatable.")
@click.option("--y", "ys", multiple=True, metavar="COLUMN[,COLUMN]", help="Scores of the other task; repeatable.")
@click.option(
    "--where",
    multiple=True,
    metavar="CONDITION",
    help="Rows of the main study, such as family!=pixel; the page also shows all rows. Repeatable.",
)
@click.option(
    "--direction",
    "directions",
    multiple=True,
    metavar="COLUMN=lower|higher",
    help="Which values of a column are better; repeatable.",
)
@click.option("--draws", type=DRAWS, default=10_000, show_default=True, help="Bootstrap draws and permutations.")
@click.option("--title", default="", help="Heading of the page.")
@click.option("--about", multiple=True, metavar="TEXT", help="Paragraph below the heading; repeatable.")
def report(
    place: str,
    output: Path | None,
    xs: tuple[str, ...],
    ys: tuple[str, ...],
    where: tuple[str, ...],
    directions: tuple[str, ...],
    draws: int,
    title: str,
    about: tuple[str, ...],
) -> None:
    """Write an HTML page about a table of scores: leaderboard, correlations, their uncertainty, audits and samples.

    The argument is a folder of `nanogen bench mini`, a CSV file with one row per model, or `published`. Damaged
    runs and files of a folder are left out. The page names them.
    """
    from nanogen_bench.cli.correlate import parse_direction
    from nanogen_bench.cli.left_out import print_left_out
    from nanogen_bench.cli.replacing import refuse_foreign
    from nanogen_bench.report.page import page
    from nanogen_bench.report.reading import Request, default_output, read
    from nanogen_files import storage

    request = Request(
        place=place,
        xs=_words(xs),
        ys=_words(ys),
        where=where,
        directions=dict(map(parse_direction, directions)),
        title=title,
        about=about,
    )
    file = output or default_output(place)
    refuse_foreign(file, MADE_BY, "bench report")
    data = read(request)
    storage.write_text(file, page(data))
    print_left_out(data.left_out, "runs or files")
    click.echo(f"Report page: {file}.")


def _words(given: tuple[str, ...]) -> tuple[str, ...]:
    """Split `("a,b", "c")` into `("a", "b", "c")`."""
    return tuple(word.strip() for words in given for word in words.split(",") if word.strip())
