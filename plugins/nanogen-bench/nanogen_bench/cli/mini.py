"""The command `nanogen bench mini`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nanogen_cluster.options import SLURM, job_options
from nanogen_cluster.resources import Resources
from nanogen_core.cli.options import SEED, WORKERS, Number
from nanogen_core.validators import at_least, between, positive

if TYPE_CHECKING:
    from nanogen_bench.mini.scheduler import Slots
    from nanogen_cluster.queues import LocalQueue, SlurmQueue

PLAN = "mini"


@click.command()
@click.option("--plan", "place", default=PLAN, show_default=True, help="Plan of an installed plugin, or a YAML file.")
@click.option(
    "--output", type=click.Path(path_type=Path), help="Output folder; by default runs/PLAN, or runs/PLAN-quick."
)
@click.option("--quick", is_flag=True, help="Use the plan's quick variant: fewer steps and images.")
@click.option("--only", multiple=True, metavar="METHOD", help="Run only this method and its prepared runs; repeatable.")
@click.option("--seed", "seeds", type=SEED, multiple=True, help="Training seed instead of the plan's; repeatable.")
@click.option(
    "--slots",
    type=WORKERS,
    help="Number of jobs at the same time; by default one per core, or as many as the GPUs allow. For SLURM: number of"
    " jobs in its queue, by default all.",
)
@click.option(
    "--retries",
    type=Number(int, at_least(0, 100)),
    default=1,
    show_default=True,
    help="How often to repeat a job that ends without a result or an error message.",
)
@job_options(local_gpus=True)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Only print the cost of the unfinished runs. With --executor slurm, also write their scripts for sbatch into"
    " the folder OUTPUT.scripts, for inspection.",
)
@click.option(
    "--gpu-tflops",
    type=Number(float, positive),
    help="For --dry-run: the GPU's dense bf16 TFLOP/s; by default those of an H100.",
)
@click.option(
    "--utilisation",
    type=Number(float, between(0, 1, above=True)),
    help="For --dry-run: share of the peak that a training reaches (MFU); by default 0.4.",
)
@click.option(
    "--measured",
    metavar="METHOD=RATE",
    help="For --dry-run: images/s of a training of METHOD on the first task, measured on one GPU. Not together"
    " with the two options above.",
)
def mini(
    place: str,
    output: Path | None,
    quick: bool,
    only: tuple[str, ...],
    seeds: tuple[int, ...],
    slots: int | None,
    retries: int,
    executor: str,
    resources: Resources,
    wait: bool,
    dry_run: bool,
    **speed: Any,
) -> None:
    """Run a small version of the experiment: train many methods on both tasks, evaluate them, correlate the scores.

    Each training is a job. Run the same command again to resume an interrupted experiment, or to collect the results
    of SLURM jobs. `--plan paper` is the experiment of DiffusionBench in full size.
    """
    from nanogen_bench.mini import plan
    from nanogen_bench.mini.experiment import experiment
    from nanogen_bench.mini.scheduler import Options

    raw = plan.read(plan.find(place), quick=quick)
    raw = {**raw, "seeds": list(seeds)} if seeds else raw
    name = Path(place).stem
    output = output or Path("runs") / (f"{name}-quick" if quick else name)
    if dry_run:
        _dry_run(raw, output, only, _queue(executor, resources), speed)
        return
    if given := [f"--{name.replace('_', '-')}" for name, value in speed.items() if value is not None]:
        raise click.UsageError(f"Only --dry-run uses {', '.join(given)}. Add --dry-run, or leave them out.")
    failed = experiment(
        raw,
        output,
        only=only,
        queue=_queue(executor, resources),
        options=Options(slots=_slots(executor, slots, resources.gpus), retries=retries, wait=wait),
        log=_log,
    )
    if failed:
        raise SystemExit(1)


def _log(line: str) -> None:
    click.echo(line, err=True)


def _queue(executor: str, resources: Resources) -> LocalQueue | SlurmQueue:
    from nanogen_cluster.queues import LocalQueue, SlurmQueue

    return SlurmQueue(resources) if executor == SLURM else LocalQueue()


def _slots(executor: str, count: int | None, gpus: int | None) -> Slots:
    from nanogen_bench.mini.scheduler import Slots
    from nanogen_bench.mini.slots import local_slots

    return Slots(count=count, processes=gpus or 1) if executor == SLURM else local_slots(count, gpus)


def _dry_run(
    raw: dict[str, Any], output: Path, only: tuple[str, ...], queue: LocalQueue | SlurmQueue, speed: dict[str, Any]
) -> None:
    from nanogen_bench.mini.dry_run import Speed, dry_run

    for line in dry_run(raw, output, only=only, queue=queue, speed=Speed(**speed), log=_log):
        click.echo(line)
