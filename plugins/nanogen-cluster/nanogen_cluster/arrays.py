"""Work that is divided among the tasks of a SLURM job array. A last job combines the results."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import frozen
from submitit import SlurmJob
from submitit.helpers import Checkpointable

from nanogen_cluster.queues import SlurmQueue
from nanogen_files import storage
from nanogen_files.errors import DataError, NanoGenError, counted
from nanogen_files.interruption import on_interrupt

RECORD = "array.json"  # in the folder of the logs, while the jobs are in SLURM's queue
POLL = 5.0  # seconds between checks of the last job


class Call(Checkpointable):
    """Function call that runs as one job. A requeued job repeats the call: the function has to resume its own work.

    Args:
        function: Module-level function. The job imports it.
        arguments: Its keyword arguments.
    """

    def __init__(self, function: Callable[..., Any], **arguments: Any):
        self.function, self.arguments = function, arguments

    def __call__(self) -> Any:
        """Call the function and return its result."""
        return self.function(**self.arguments)


@frozen(kw_only=True)
class ArrayWork:
    """Work for a job array.

    Attributes:
        parts: One call for each task of the array. Tasks do not depend on each other.
        last: Call that runs after all parts have succeeded. It returns the result of the work.
        request: JSON values that identify the work.
        logs: Folder for the scripts, the output and the results of the jobs.
        title: Name of the jobs.
    """

    parts: Sequence[Call]
    last: Call
    request: Mapping[str, Any]
    logs: Path
    title: str


def logs_beside(folder: Path) -> Path:
    """Return the folder for the logs of jobs that write to `folder`: `NAME.slurm` next to the folder NAME."""
    place = folder if folder.name not in ("", "..") else Path(os.path.abspath(folder))
    return place.with_name(f"{place.name}.slurm")


def refuse_submitted(logs: Path) -> None:
    """Raise NanoGenError if work with these logs was submitted to SLURM and its result is not yet collected."""
    if record := _read(logs):
        raise NanoGenError(
            f"This work was submitted to SLURM as jobs {record['array']} and {record['last']}: collect its result by"
            f" the same command with --executor slurm, or cancel the jobs and delete {logs / RECORD}."
        )


def run_array(work: ArrayWork, queue: SlurmQueue, *, wait: bool, log: Callable[[str], None]) -> tuple[bool, Any]:
    """Submit work unless it is already submitted, and return its result if it has ended.

    Args:
        work: The work.
        queue: Submits the jobs.
        wait: Whether to wait for the result.
        log: Receives lines of progress.

    Returns:
        Whether the work has ended, and the result of its last job (None before the end).

    Raises:
        NanoGenError: A job failed, other work with the same folder of logs was submitted, or the record is damaged.
    """
    record = _read(work.logs)
    if record is not None and record["request"] != work.request:
        raise NanoGenError(
            f"Jobs {record['array']} and {record['last']} with other options were submitted: collect their results"
            f" by the command that submitted them, or cancel them and delete {work.logs / RECORD}."
        )
    if record is None:
        record = _submit(work, queue)
        log(
            f"Submitted jobs {record['array']} ({counted(len(work.parts), 'part')}) and {record['last']}. Logs:"
            f" {work.logs}"
        )
    last: SlurmJob[Any] = SlurmJob(folder=work.logs, job_id=record["last"])
    parts: list[SlurmJob[Any]] = [SlurmJob(folder=work.logs, job_id=number) for number in record["parts"]]
    while not all(job.done() for job in (last, *parts)):  # no part may go on when the work is submitted again
        if not wait:
            ended = sum(job.paths.result_pickle.exists() for job in parts)
            log(f"{ended} of {len(parts)} parts have ended. Run the same command later to collect the result.")
            return False, None
        with on_interrupt("Stopped waiting. The jobs stay in SLURM's queue: the same command collects their result."):
            time.sleep(POLL)
    (work.logs / RECORD).unlink()
    for title, job in [
        *((f"Part {n + 1} of {len(parts)}", job) for n, job in enumerate(parts)),
        ("The last job", last),
    ]:
        if failure := _failure(job):
            raise NanoGenError(
                f"{title} failed: {failure} Its log: {job.paths.stdout}. The same command submits the unfinished work"
                " again."
            )
    return True, last.result()


def _submit(work: ArrayWork, queue: SlurmQueue) -> dict[str, Any]:
    parts = queue.submit_array(work.parts, work.logs, title=work.title)
    array = parts[0].partition("_")[0]
    last = queue.submit_array([work.last], work.logs, title=f"{work.title} result", after=[array])
    record = {"request": dict(work.request), "array": array, "parts": parts, "last": last[0]}
    storage.write_json(work.logs / RECORD, record)
    return record


def _failure(job: SlurmJob[Any]) -> str | None:
    """Return why a job failed, as a sentence; None if it succeeded."""
    if not job.paths.result_pickle.exists():
        return f"it ended without a result (SLURM: {job.state})."
    outcome, trace = job._get_outcome_and_result()
    if outcome == "success":
        return None
    kind, _, message = _last_error(str(trace)).partition(": ")
    text = message or kind
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _last_error(trace: str) -> str:
    """Return the type and the message of a traceback's last exception, in one line."""
    lines = trace.strip().splitlines()
    frame = max((number for number, line in enumerate(lines) if line.startswith('  File "')), default=-1)
    start = next((n for n in range(frame + 1, len(lines)) if not lines[n].startswith(" ")), -1)
    return " ".join(line.strip() for line in lines[start:])


def _read(logs: Path) -> dict[str, Any] | None:
    file = logs / RECORD
    if not file.is_file():
        return None
    try:
        record = storage.read_json(file)
        return {key: record[key] for key in ("request", "array", "parts", "last")}
    except (DataError, KeyError, TypeError) as error:
        raise NanoGenError(
            f"{file} is damaged: look up the jobs in SLURM's queue, cancel them, and delete the file."
        ) from error
