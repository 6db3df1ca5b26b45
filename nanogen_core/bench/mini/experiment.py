"""The experiment from its plan to its tables."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from nanogen_core import storage, yaml_files
from nanogen_core.bench.mini import outcome
from nanogen_core.bench.mini.job import Job, jobs
from nanogen_core.bench.mini.plan import checked
from nanogen_core.bench.mini.pool import Pool, Say, cores
from nanogen_core.bench.mini.work import PLAN
from nanogen_core.config import resolve
from nanogen_core.errors import NanoGenError, TrainingError


def experiment(
    raw: Mapping[str, Any], output: Path, *, only: tuple[str, ...], slots: int | None, say: Say
) -> list[Job]:
    """Runs what is not finished of the methods `only` names (none: all), and writes the tables of all that is. Returns
    the runs that failed.

    Raises ConfigError before anything starts where one of the configurations is wrong; pool.Stopped after Ctrl-C.
    """
    plan = checked(raw)
    output = output.resolve()
    todo = jobs(plan, output, plan.chosen(only))
    for job in todo:
        _resolve(job)
    output.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(output / ".lock", timeout=0):
            storage.write_text(output / PLAN, yaml_files.dump(dict(raw)))
            Pool(output, slots or cores(), say).run(todo)
            for line in outcome.write(plan, output, jobs(plan, output, list(plan.methods))):
                say(line)
    except Timeout as error:
        raise TrainingError(f"Another process is at work in {output}: name another --output.") from error
    return [job for job in todo if job.result is None]


def _resolve(job: Job) -> None:
    """Raises NanoGenError, with the run's name, for a configuration that cannot be built."""
    try:
        resolve(job.config)
    except NanoGenError as error:
        raise type(error)(f"{job.title}: {error}") from error
