"""`nanogen bench report`."""

from __future__ import annotations

from pathlib import Path

import click

from nanogen_core.cli.options import DRAWS

MADE_BY = "nanogen bench report"  # in the footer of every page


@click.command()
@click.argument("place", metavar="FOLDER|TABLE.csv")
@click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False), help="The file; by default beside the table."
)
@click.option("--x", "xs", multiple=True, metavar="COLUMN", help="Scores of the first task; repeatable.")
@click.option("--y", "ys", multiple=True, metavar="COLUMN[,COLUMN]", help="Scores of the other task; repeatable.")
@click.option("--where", multiple=True, metavar="CONDITION", help="Which rows to study beside all: family!=pixel.")
@click.option("--direction", "said", multiple=True, metavar="COLUMN=lower|higher", help="Which is better; repeatable.")
@click.option("--draws", type=DRAWS, default=10_000, show_default=True)
@click.option("--title", default="", help="The page's heading.")
@click.option("--about", multiple=True, metavar="TEXT", help="A paragraph below the heading; repeatable.")
def report(
    place: str,
    output: Path | None,
    xs: tuple[str, ...],
    ys: tuple[str, ...],
    where: tuple[str, ...],
    said: tuple[str, ...],
    draws: int,
    title: str,
    about: tuple[str, ...],
) -> None:
    """Write one HTML page about a table of scores: rankings, how far they agree, and how sure that is.

    The place is a folder that `nanogen bench mini` filled, a CSV file with a row for each model, or `published`.
    The page names the damaged runs and files of a folder, and is made of the rest.
    """
    from nanogen_bench.cli.correlate import direction_said
    from nanogen_bench.cli.left_out import say_left_out
    from nanogen_bench.cli.replacing import refuse_foreign
    from nanogen_bench.report.page import page
    from nanogen_bench.report.reading import Request, read, written_to
    from nanogen_files import storage

    request = Request(
        place=place,
        xs=_words(xs),
        ys=_words(ys),
        where=where,
        said=dict(map(direction_said, said)),
        title=title,
        about=about,
    )
    file = output or written_to(place)
    refuse_foreign(file, MADE_BY, "bench report")
    subject = read(request)
    storage.write_text(file, page(subject))
    say_left_out(subject.left_out, "runs or files")
    click.echo(f"The page is in {file}.")


def _words(given: tuple[str, ...]) -> tuple[str, ...]:
    """`("a,b", "c")` as `("a", "b", "c")`."""
    return tuple(word.strip() for words in given for word in words.split(",") if word.strip())
