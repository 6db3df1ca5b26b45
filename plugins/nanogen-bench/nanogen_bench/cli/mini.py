"""The command `nanogen bench mini`."""

from __future__ import annotations

from pathlib import Path

import click

from nanogen_core.cli.options import WORKERS

PLAN = "mini"


@click.command()
@click.option("--plan", "place", default=PLAN, show_default=True, help="Plan of an installed plugin, or a YAML file.")
@click.option(
    "--output", type=click.Path(path_type=Path), help="Output folder; by default runs/PLAN, or runs/PLAN-quick."
)
@click.option("--jobs", "slots", type=WORKERS, help="Number of parallel runs; by default one per core.")
@click.option("--quick", is_flag=True, help="Use the plan's quick variant: fewer steps and images.")
@click.option("--only", multiple=True, metavar="METHOD", help="Run only this method and its prepared runs; repeatable.")
def mini(place: str, output: Path | None, slots: int | None, quick: bool, only: tuple[str, ...]) -> None:
    """Run a small version of the experiment: train many methods on both tasks, evaluate them, correlate the scores.

    Run the same command again to resume an interrupted experiment.
    """
    from nanogen_bench.mini import plan
    from nanogen_bench.mini.experiment import experiment

    raw = plan.read(plan.find(place), quick=quick)
    name = Path(place).stem
    output = output or Path("runs") / (f"{name}-quick" if quick else name)
    failed = experiment(raw, output, only=only, slots=slots, log=lambda line: click.echo(line, err=True))
    if failed:
        raise SystemExit(1)
