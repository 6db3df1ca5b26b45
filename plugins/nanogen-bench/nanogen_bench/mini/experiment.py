"""The experiment: runs of a plan, then tables, correlations and audits."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nanogen_bench.mini import outcome
from nanogen_bench.mini.job import Job, every_job, jobs
from nanogen_bench.mini.plan import ExperimentPlan, checked, read
from nanogen_bench.mini.scheduler import Log, Options, Scheduler
from nanogen_bench.mini.work import PLAN
from nanogen_cluster.queues import LocalQueue, SlurmQueue
from nanogen_core.config import Resolved, resolve
from nanogen_core.errors import ConfigError, NanoGenError, TrainingError
from nanogen_files import storage, text_files, yaml_files
from nanogen_files.folder_lock import LOCK, LOCK_FILES, folder_lock


def experiment(
    raw: Mapping[str, Any],
    output: Path,
    *,
    only: tuple[str, ...],
    queue: LocalQueue | SlurmQueue,
    options: Options,
    log: Log,
) -> list[Job]:
    """Run the unfinished runs of a plan, and write the tables of all finished ones.

    Args:
        raw: The plan as plain values.
        output: Output folder.
        only: Methods to run; all if empty.
        queue: Runs the trainings as jobs.
        options: Limits, retries and waiting.
        log: Receives lines of progress and results.

    Returns:
        The runs that failed or whose results are damaged.

    Raises:
        NanoGenError: The plan, one of its configurations or `only` is wrong, or SLURM is missing. Nothing has started
            or been written then.
        TrainingError: The folder is not an experiment folder, belongs to another plan, or has an edited `plan.yaml`. Or
            another process works in it.
        Stopped: The experiment was interrupted.
    """
    plan = checked(raw)
    output = output.resolve()
    todo = jobs(plan, output, plan.chosen(only))
    for job in todo:
        resolved(job)
    _refuse_others(output, plan)
    if any(job.result is None and job.damage is None for job in todo):
        queue.refuse_missing()
    with folder_lock(output / LOCK, lambda holder: _busy(output, holder)):
        _refuse_others(output, plan)
        _write_plan(output / PLAN, raw)
        Scheduler(output, queue, options, log).run(todo)
        for line in outcome.write(plan, output, every_job(plan, output)):
            log(line)
    return [job for job in todo if job.error is not None]


def _busy(output: Path, holder: str) -> TrainingError:
    return TrainingError(f"Another process{holder} is working in {output}: wait for it, or choose another --output.")


def _refuse_others(output: Path, plan: ExperimentPlan) -> None:
    """Raise TrainingError if the folder contains runs that the plan lacks, or that have another request.

    A plan with additional methods, seeds or prepared runs is accepted.
    """
    present = sorted(path.name for path in output.iterdir() if path.name not in LOCK_FILES) if output.is_dir() else []
    if not present:
        return
    if PLAN not in present:
        raise TrainingError(
            f"{output} is not an experiment folder: it contains {present[0]}, but no {PLAN}. Choose another --output."
        )
    try:
        before = checked(read(output / PLAN))
    except NanoGenError as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        raise TrainingError(f"{output / PLAN} cannot be read ({reason}): choose another --output.") from error
    known = {job.folder: job.request for job in every_job(plan, output)}
    for job in every_job(before, output):
        if job.folder.exists() and known.get(job.folder) != job.request:
            what = "differs in" if job.folder in known else "is not in"
            raise TrainingError(
                f"{output} contains runs of another plan: {job.title} {what} this plan. Choose another --output, or"
                f" move {job.folder} away."
            )


def _write_plan(file: Path, raw: Mapping[str, Any]) -> None:
    """Write the plan if it has changed. Raises TrainingError if that would delete comments of a hand-written file."""
    if file.is_file():
        if read(file) == raw:
            return
        if text_files.read(file) != yaml_files.dump(yaml_files.read(file)):
            raise TrainingError(
                f"{file} differs from this plan, and seems to be edited by hand. It is not overwritten. To run it,"
                f" give --plan {file}. Otherwise choose another --output."
            )
    storage.write_text(file, yaml_files.dump(dict(raw)))


def resolved(job: Job) -> Resolved:
    """Resolve the configuration of a run. Raises ConfigError with the name of the run."""
    try:
        return resolve(job.config)
    except NanoGenError as error:
        raise ConfigError(f"{job.title}: {error}") from error
