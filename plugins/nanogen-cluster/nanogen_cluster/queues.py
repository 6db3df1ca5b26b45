"""Queues that run commands as jobs: on this machine, or on SLURM."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import define, field, frozen
from submitit import LocalExecutor, LocalJob, SlurmExecutor, SlurmJob
from submitit.core.utils import FailedJobError, FailedSubmissionError

from nanogen_cluster import launcher
from nanogen_cluster.options import LOCAL, SLURM
from nanogen_cluster.resources import Resources
from nanogen_files import storage
from nanogen_files.errors import DataError, NanoGenError

RECORD = "job.json"  # in the folder of a job's logs, while it is submitted to SLURM
CONTROLLER = "controller.txt"  # output of submitit's local controller, beside the logs of its job
REQUEUES = 100  # how often a job may reach its time limit and be requeued
YEAR_S = 365 * 24 * 3600

#: Takes the place of `python` in submitit's command: modules of the current folder are not imported.
PYTHON = shlex.join([sys.executable, "-u", launcher.__file__])


@frozen
class Submission:
    """A submitted job.

    Attributes:
        job: Job of submitit.
        attempt: Number of the attempt, from 1.
    """

    job: Any
    attempt: int = 1

    @property
    def done(self) -> bool:
        """Return whether the job has ended, successfully or not."""
        return bool(self.job.done())

    @property
    def title(self) -> str:
        """Name of the job for messages, with the file of its output."""
        return f"job {self.job.job_id} (log: {self.job.paths.stdout})"


@define
class LocalQueue:
    """Runs jobs as processes of this machine. They stop when the queue is closed or this process ends."""

    name = LOCAL
    begun = "started"  # what has happened to a job after `submit`
    poll_s = 0.2  # seconds between checks of the jobs
    has_dependencies = False  # whether `submit` accepts `after`
    _processes: list[subprocess.Popen[bytes]] = field(factory=list)

    def refuse_missing(self) -> None:
        """Do nothing: this machine exists."""

    def submit(
        self, command: Callable[[], Any], logs: Path, *, title: str, attempt: int = 1, after: Sequence[Submission] = ()
    ) -> Submission:
        """Start a job. See `SlurmQueue.submit`. Raises ValueError if `after` is not empty."""
        if after:
            raise ValueError(
                "A local queue cannot wait for other jobs. Submit the job when those in `after` have ended."
            )
        executor = _LocalExecutor(logs, python=PYTHON)
        executor.parameters["stderr_to_stdout"] = True
        job = executor.submit(command)
        self._processes.append(executor.process)
        return Submission(job, attempt)

    def submitted(self, logs: Path) -> Submission | None:
        """Return None: local jobs have no record. Raises NanoGenError if `logs` has the record of a SLURM job."""
        if record := _record(logs):
            raise NanoGenError(
                f"This work was submitted to SLURM as job {record['id']}: use --executor {SLURM}, or cancel the job and"
                f" delete {logs / RECORD}."
            )
        return None

    def forget(self, logs: Path) -> None:
        """Do nothing: local jobs have no record."""

    def interrupted(self, submissions: Sequence[Submission]) -> str:
        """Return the message for a user who interrupts the command."""
        return "Interrupted. Running trainings have saved checkpoints: the same command resumes."

    def close(self) -> None:
        """Stop all jobs and wait until they have ended. Trainings save a checkpoint first."""
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.close()
        for process in self._processes:
            process.wait()


class _LocalExecutor(LocalExecutor):
    """Starts submitit's controller in its own session, with a pipe as its standard input.

    Ctrl-C then reaches this process only, and the jobs notice when it ends.
    """

    process: subprocess.Popen[bytes]

    def _submit_command(self, command: str) -> Any:
        variables = {
            "SUBMITIT_LOCAL_NTASKS": "1",
            "SUBMITIT_LOCAL_COMMAND": command,
            "SUBMITIT_LOCAL_TIMEOUT_S": str(YEAR_S),
            "SUBMITIT_LOCAL_SIGNAL_DELAY_S": "30",
            "SUBMITIT_LOCAL_NODEID": "0",
            "SUBMITIT_LOCAL_JOB_NUM_NODES": "1",
            "SUBMITIT_LOCAL_WITH_SHELL": "",
            "SUBMITIT_STDERR_TO_STDOUT": "1",
            "SUBMITIT_EXECUTOR": "local",
        }
        with (self.folder / CONTROLLER).open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, launcher.__file__, "submitit.local._local", str(self.folder)],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                env={**os.environ, **variables},
                start_new_session=True,
            )
        return LocalJob(folder=self.folder, job_id=str(self.process.pid), process=self.process)


@frozen
class SlurmQueue:
    """Submits jobs to SLURM.

    `submit` writes a record with the id of the job into the folder of its logs, so that another process finds the job.
    `forget` deletes the record.

    Args:
        resources: Resources of each job.
    """

    name = SLURM
    begun = "submitted"
    poll_s = 5.0
    has_dependencies = True
    resources: Resources

    def refuse_missing(self) -> None:
        """Raise NanoGenError if this machine has no `sbatch`."""
        if shutil.which("sbatch") is None:
            raise NanoGenError(
                "`sbatch` was not found: run this command on a login node of a SLURM cluster, or use --executor local."
            )

    def submit(
        self, command: Callable[[], Any], logs: Path, *, title: str, attempt: int = 1, after: Sequence[Submission] = ()
    ) -> Submission:
        """Submit a job.

        Args:
            command: The function to run; a submitit Checkpointable if the job can be requeued.
            logs: Folder for the script, the output and the result of the job.
            title: Name of the job.
            attempt: Number of the attempt.
            after: Jobs that must succeed first.

        Raises:
            NanoGenError: SLURM is missing, or refuses the job.
        """
        self.refuse_missing()
        executor = _slurm_executor(logs, self.resources, title, [one.job.job_id for one in after])
        with _submission_errors():
            job = executor.submit(command)
        storage.write_json(logs / RECORD, {"id": job.job_id, "attempt": attempt})
        return Submission(job, attempt)

    def submit_array(
        self, commands: Sequence[Callable[[], Any]], logs: Path, *, title: str, after: Sequence[str] = ()
    ) -> list[str]:
        """Submit a job array. Returns the job numbers of its tasks, such as "123_0". Writes no record of them.

        Args:
            commands: Function of each task.
            logs: As in `submit`.
            title: Name of the jobs.
            after: Numbers of jobs that must succeed first.
        """
        self.refuse_missing()
        executor = _slurm_executor(logs, self.resources, title, after)
        with _submission_errors():
            return [job.job_id for job in executor.submit_array(commands)]

    def submitted(self, logs: Path) -> Submission | None:
        """Return the job that `submit` recorded in `logs`; None without a record."""
        record = _record(logs)
        return None if record is None else Submission(SlurmJob(folder=logs, job_id=record["id"]), record["attempt"])

    def forget(self, logs: Path) -> None:
        """Delete the record of a job."""
        (logs / RECORD).unlink(missing_ok=True)

    def interrupted(self, submissions: Sequence[Submission]) -> str:
        """Return the message for a user who interrupts the command."""
        numbers = " ".join(submission.job.job_id for submission in submissions)
        return (
            "Interrupted. The jobs stay in SLURM's queue: the same command collects their results. To stop them, run"
            f" `scancel {numbers}`; they save checkpoints."
        )

    def close(self) -> None:
        """Do nothing: SLURM keeps the jobs."""

    def script(self, logs: Path, *, title: str) -> str:
        """Return the script that `submit` would give to sbatch. It reads a file that only `submit` writes."""
        executor = _slurm_executor(logs, self.resources, title, ())
        return executor._make_submission_file_text(executor._submitit_command_str, "")


class _SlurmExecutor(SlurmExecutor):
    """Writes scripts on machines without SLURM too. `sbatch` reports that it is missing."""

    @classmethod
    def affinity(cls) -> int:
        return 2


def _slurm_executor(logs: Path, resources: Resources, title: str, after: Sequence[str]) -> SlurmExecutor:
    executor = _SlurmExecutor(logs, max_num_timeout=REQUEUES, python=PYTHON)
    further: dict[str, Any] = {"requeue": True, **resources.slurm}
    if after:
        further |= {"dependency": f"afterok:{':'.join(after)}", "kill_on_invalid_dep": "yes"}
    cpus = resources.slurm.get("cpus_per_task")  # SLURM 22.05 and later: srun does not inherit it
    executor.update_parameters(
        job_name=title.replace(" ", "-"),
        stderr_to_stdout=True,
        setup=["export PYTHONSAFEPATH=1"],
        srun_args=[] if cpus is None else [f"--cpus-per-task={cpus}"],
        additional_parameters=further,
        **resources.parameters,
    )
    return executor


@contextmanager
def _submission_errors() -> Iterator[None]:
    """Turn a failed submission into a NanoGenError."""
    try:
        yield
    except (FailedJobError, FailedSubmissionError) as error:
        reason = str(error).strip().replace("\n", " ")
        raise NanoGenError(
            f"SLURM refuses the job: {reason}. Check --partition, --hours, --gpus-per-job and --slurm."
        ) from error


def _record(logs: Path) -> dict[str, Any] | None:
    """Read the record of a submitted job; None if there is none. Raises NanoGenError if it is damaged."""
    file = logs / RECORD
    if not file.is_file():
        return None
    try:
        record = storage.read_json(file)
        return {"id": str(record["id"]), "attempt": int(record["attempt"])}
    except (DataError, KeyError, TypeError, ValueError) as error:
        raise NanoGenError(
            f"{file} is damaged: look up the job in SLURM's queue, cancel it, and delete the file."
        ) from error
