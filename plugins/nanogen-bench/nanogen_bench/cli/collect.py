"""`nanogen bench collect`."""

from __future__ import annotations

from pathlib import Path

import click

OURS = (
    r"\Amodel,family,tokenizer,([^\n]*,)?(seeds,n,note|task,seed,([^\n]*,)?n)\n"  # the heads of a table of this command
)


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="[NAME=]RUN...")
@click.option("--output", type=click.Path(path_type=Path), help="A CSV file; by default the table is printed.")
@click.option("--each", is_flag=True, help="A row for each run in place of one for each model.")
def collect(runs: tuple[str, ...], output: Path | None, each: bool) -> None:
    """Make the table of models from the scores that `nanogen evaluate` left beside RUNS, for `nanogen bench correlate`.

    Runs of one name are one model, and their scores are averaged over seeds. A run is called after its folder.
    A run whose files are damaged or missing is named and left out.
    """
    from nanogen_bench.cli.left_out import say_left_out
    from nanogen_bench.cli.replacing import refuse_foreign
    from nanogen_bench.collected.entries import readable
    from nanogen_bench.collected.models import models
    from nanogen_bench.collected.tables import model_rows, run_rows, text
    from nanogen_files import storage

    if output is not None:
        refuse_foreign(output, OURS, "bench collect")
    found, left_out = readable(runs)
    say_left_out(left_out, "runs")
    rows = run_rows(found) if each else model_rows(models(found))
    if output is None:
        click.echo(text(rows), nl=False)
        return
    storage.write_text(output, text(rows))
    click.echo(f"{len(rows)} {'runs' if each else 'models'}: {output}.")
    for row in rows:
        if row.get("note"):
            click.echo(f"Measured otherwise: {row['model']}: {row['note']}.", err=True)
