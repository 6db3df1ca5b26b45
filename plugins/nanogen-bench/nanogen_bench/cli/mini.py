"""`nanogen bench mini`."""

from __future__ import annotations

from pathlib import Path

import click

from nanogen_core.cli.options import WORKERS

PLAN = "mini"


@click.command()
@click.option("--plan", "place", default=PLAN, show_default=True, help="A plan that a plugin ships, or a YAML file.")
@click.option("--output", type=click.Path(path_type=Path), help="By default runs/mini, or runs/mini-quick.")
@click.option("--jobs", "slots", type=WORKERS, help="Runs at a time; by default one for each core.")
@click.option("--quick", is_flag=True, help="The plan's quick form: fewer steps, fewer pictures.")
@click.option("--only", multiple=True, metavar="METHOD", help="This method and what it needs; repeatable.")
def mini(place: str, output: Path | None, slots: int | None, quick: bool, only: tuple[str, ...]) -> None:
    """Run the whole experiment in small: many methods, both tasks, the correlation. Goes on where it was stopped."""
    from nanogen_bench.mini import plan
    from nanogen_bench.mini.experiment import experiment

    raw = plan.read(plan.find(place), quick=quick)
    output = output or Path("runs") / (f"{PLAN}-quick" if quick else PLAN)
    failed = experiment(raw, output, only=only, slots=slots, say=lambda line: click.echo(line, err=True))
    if failed:
        raise SystemExit(1)
