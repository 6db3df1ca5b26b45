"""The experiment from its plan to its tables."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nanogen_bench.mini import outcome
from nanogen_bench.mini.job import Job, jobs
from nanogen_bench.mini.plan import ExperimentPlan, checked, read
from nanogen_bench.mini.pool import Pool, Say, cores
from nanogen_bench.mini.work import PLAN
from nanogen_core.config import resolve
from nanogen_core.errors import NanoGenError, TrainingError
from nanogen_files import storage, text_files, yaml_files
from nanogen_files.folder_lock import LOCK, LOCK_FILES, folder_lock


def experiment(
    raw: Mapping[str, Any], output: Path, *, only: tuple[str, ...], slots: int | None, say: Say
) -> list[Job]:
    """Runs what is not finished of the methods `only` names (none: all), and writes the tables of all that is. Returns
    the runs that failed.

    Raises ConfigError before anything starts where one of the configurations is wrong, TrainingError for a folder with
    something else in it; pool.Stopped after Ctrl-C.
    """
    plan = checked(raw)
    output = output.resolve()
    todo = jobs(plan, output, plan.chosen(only))
    for job in todo:
        _resolve(job)
    _refuse_others(output, plan)
    with folder_lock(output / LOCK, lambda holder: _busy(output, holder)):
        _refuse_others(output, plan)
        _write_plan(output / PLAN, raw)
        Pool(output, slots or cores(), say).run(todo)
        for line in outcome.write(plan, output, jobs(plan, output, list(plan.methods))):
            say(line)
    return [job for job in todo if job.result is None]


def _busy(output: Path, holder: str) -> TrainingError:
    return TrainingError(f"Another process{holder} is working in {output}: choose another --output.")


def _refuse_others(output: Path, plan: ExperimentPlan) -> None:
    """Raises TrainingError for a folder of another plan: one whose runs this plan asks otherwise, or does not have.

    A plan that grew, by methods, seeds or prepared runs, is the same plan.
    """
    present = sorted(path.name for path in output.iterdir() if path.name not in LOCK_FILES) if output.is_dir() else []
    if not present:
        return
    if PLAN not in present:
        raise TrainingError(
            f"{output} holds {present[0]} and no {PLAN}, so it is no experiment: name another --output."
        )
    try:
        before = checked(read(output / PLAN))
    except NanoGenError as error:
        reason = str(error).partition("\n")[0]
        raise TrainingError(f"{output / PLAN} cannot be read ({reason}): name another --output.") from error
    known = {job.folder: job.asked for job in jobs(plan, output, list(plan.methods))}
    for job in jobs(before, output, list(before.methods)):
        if job.folder.exists() and known.get(job.folder) != job.asked:
            what = "is asked otherwise by" if job.folder in known else "is not in"
            raise TrainingError(
                f"{output} holds the runs of another plan: {job.title} {what} this one. Name another --output, or move"
                f" {job.folder} away."
            )


def _write_plan(file: Path, raw: Mapping[str, Any]) -> None:
    """Writes the plan where another one stands. Raises TrainingError for a file with comments, which would be lost."""
    if file.is_file():
        if read(file) == raw:
            return
        if text_files.read(file) != yaml_files.dump(yaml_files.read(file)):
            raise TrainingError(
                f"{file} is another plan and was written by hand: name another --output, or move the file away."
            )
    storage.write_text(file, yaml_files.dump(dict(raw)))


def _resolve(job: Job) -> None:
    """Raises NanoGenError, with the run's name, for a configuration that cannot be built."""
    try:
        resolve(job.config)
    except NanoGenError as error:
        raise type(error)(f"{job.title}: {error}") from error
