"""The command `nanogen bench collect`."""

from __future__ import annotations

from pathlib import Path

import click

OWN_FILE = (
    r"\Amodel,family,tokenizer,([^\n]*,)?(seeds,n,note|task,seed,([^\n]*,)?n)\n"  # header of tables of this command
)


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="[NAME=]RUN...")
@click.option("--output", type=click.Path(path_type=Path), help="CSV file; by default the table is printed.")
@click.option("--each", is_flag=True, help="Write one row per run instead of one per model.")
def collect(runs: tuple[str, ...], output: Path | None, each: bool) -> None:
    """Write a table of models from the scores of RUNS, for `nanogen bench correlate`.

    `nanogen evaluate` must have scored the runs. The default NAME is the last folder that names neither the seed nor
    the task: rae for t2i/rae/seed-0. Runs of the same name are one model, and their scores are averaged over seeds.
    Runs with damaged or missing files are reported and skipped.
    """
    from nanogen_bench.cli.left_out import print_left_out
    from nanogen_bench.cli.replacing import refuse_foreign
    from nanogen_bench.collected.entries import readable
    from nanogen_bench.collected.models import models
    from nanogen_bench.collected.tables import model_rows, run_rows, text
    from nanogen_files import storage

    if output is not None:
        refuse_foreign(output, OWN_FILE, "bench collect")
    found, left_out = readable(runs)
    print_left_out(left_out, "runs")
    rows = run_rows(found) if each else model_rows(models(found))
    if output is None:
        click.echo(text(rows), nl=False)
        return
    storage.write_text(output, text(rows))
    click.echo(f"{len(rows)} {'runs' if each else 'models'}: {output}.")
    for row in rows:
        if row.get("note"):
            click.echo(f"Different settings: {row['model']}: {row['note']}.", err=True)
