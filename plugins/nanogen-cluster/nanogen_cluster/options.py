"""Command-line options for jobs. Does not import submitit."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import click

from nanogen_cluster.resources import Resources, sbatch_options
from nanogen_core.cli.options import Number
from nanogen_core.validators import at_least, between

LOCAL, SLURM = "local", "slurm"


def job_options(*, local_gpus: bool) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add `--executor`, `--gpus-per-job`, `--hours`, `--partition`, `--slurm` and `--wait` to a command.

    The command receives `executor` (str), `resources` (Resources) and `wait` (bool).

    Args:
        local_gpus: Whether the command uses `--gpus-per-job` on this machine. Otherwise it is refused there.
    """
    return partial(_with_job_options, local_gpus=local_gpus)


def _with_job_options(command: Callable[..., Any], *, local_gpus: bool) -> Callable[..., Any]:

    def with_resources(
        *,
        gpus_per_job: int | None,
        hours: float | None,
        partition: str | None,
        slurm: tuple[str, ...],
        wait: bool,
        executor: str,
        **others: Any,
    ) -> Any:
        used = {
            "--gpus-per-job": gpus_per_job is not None and not local_gpus,
            "--hours": hours is not None,
            "--partition": partition is not None,
            "--slurm": slurm,
            "--no-wait": not wait,
        }
        if executor != SLURM and (unused := [option for option, given in used.items() if given]):
            raise click.UsageError(f"Only --executor slurm uses {', '.join(unused)}. Add --executor slurm.")
        limit = {} if hours is None else {"hours": hours}
        resources = Resources(gpus=gpus_per_job, partition=partition, slurm=sbatch_options(slurm), **limit)
        return command(executor=executor, resources=resources, wait=wait, **others)

    with_resources.__doc__ = command.__doc__
    with_resources.__name__ = command.__name__
    with_resources.__click_params__ = getattr(command, "__click_params__", [])  # type: ignore[attr-defined]
    for option in reversed(_OPTIONS):
        option(with_resources)
    return with_resources


_OPTIONS = (
    click.option(
        "--executor",
        type=click.Choice([LOCAL, SLURM]),
        default=LOCAL,
        show_default=True,
        help="Run on this machine, or as SLURM jobs.",
    ),
    click.option("--gpus-per-job", type=Number(int, at_least(1, 64)), help="GPUs of each job, on one node."),
    click.option(
        "--hours", type=Number(float, between(0, 8760, above=True)), help="SLURM's time limit of a job; by default 24."
    ),
    click.option("--partition", help="SLURM's partition."),
    click.option(
        "--slurm", multiple=True, metavar="KEY=VALUE", help="Other option of sbatch, such as mem=64G; repeatable."
    ),
    click.option(
        "--wait/--no-wait",
        default=True,
        show_default=True,
        help="Wait for SLURM's jobs. Without waiting, the same command collects their results later.",
    ),
)
