"""Scheduler that runs the trainings of a plan as jobs, in this machine's or SLURM's queue."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from attrs import field, frozen

from nanogen_bench.mini import folders
from nanogen_bench.mini.job import Job
from nanogen_cluster.command import Command, module
from nanogen_cluster.queues import LocalQueue, SlurmQueue, Submission
from nanogen_core.errors import TrainingError
from nanogen_files import storage
from nanogen_files.errors import counted
from nanogen_train.trainer.signals import stop_request

LOGS = "logs"

Log = Callable[[str], None]


class Stopped(TrainingError):
    """The experiment was interrupted. The same command resumes it."""

    exit_code = 130


@frozen(kw_only=True)
class Slots:
    """Limits of the jobs that run at the same time.

    Attributes:
        count: Maximum number of submitted jobs; None for no limit.
        gpus: GPUs of this machine, named as in CUDA_VISIBLE_DEVICES. They are divided among the slots. Empty: the
            queue assigns GPUs, or every job sees all of them.
        processes: Number of processes of each job, one per GPU.
        threads: Number of CPU threads of each process; None for torch's default.
    """

    count: int | None = None
    gpus: tuple[str, ...] = ()
    processes: int = 1
    threads: int | None = None


@frozen(kw_only=True)
class Options:
    """Options of the scheduler.

    Attributes:
        slots: Limits of the jobs that run at the same time.
        retries: How often a job is submitted again if it ends without a result and without an error message.
        wait: Wait until all jobs have ended. Otherwise only submit them, and collect those that have ended.
    """

    slots: Slots = field(factory=Slots)
    retries: int = 1
    wait: bool = True


class Scheduler:
    """Submits unfinished trainings to a queue and collects their results."""

    def __init__(self, output: Path, queue: LocalQueue | SlurmQueue, options: Options, log: Log):
        """Create a scheduler.

        Args:
            output: Output folder of the experiment.
            queue: Runs the jobs.
            options: Limits, retries and waiting.
            log: Receives lines of progress.
        """
        self.output, self.queue, self.options, self.log = output, queue, options, log
        self._waiting: list[Job] = []
        self._submitted: dict[Path, tuple[Job, Submission]] = {}  # by the folder of the run
        self._attempts: dict[Path, int] = {}
        self._slot_of: dict[Path, int] = {}
        self._done, self._total, self._since = 0, 0, time.monotonic()

    def run(self, jobs: Sequence[Job]) -> None:
        """Run all unfinished trainings; without `options.wait`, only submit them.

        A failed training writes `failure.json`. The others continue.

        Raises:
            Stopped: After Ctrl-C, SIGTERM or SIGHUP, once every training on this machine has saved a checkpoint.
        """
        damaged = [job for job in jobs if job.damage is not None]
        unfinished = [job for job in jobs if job.result is None and job not in damaged]
        self._total = len(unfinished) + len(damaged)
        for job in damaged:
            self.log(f"{job.title} is skipped: {job.damage}")
        self.log(f"{len(jobs) - self._total} of {len(jobs)} runs are already finished.")
        for job in jobs:
            self._find(job, unfinished=job in unfinished)
        with stop_request() as stop:
            try:
                self._collect()
                self._submit()
                while self.options.wait and (self._waiting or self._submitted) and not stop:
                    time.sleep(self.queue.poll_s)
                    self._collect()
                    self._submit()
            finally:
                self.queue.close()
        if stop:
            raise Stopped(self.queue.interrupted([submission for _, submission in self._submitted.values()]))
        self._report_submitted()

    def _find(self, job: Job, *, unfinished: bool) -> None:
        """Find out whether an unfinished run was submitted by an earlier command."""
        submission = self.queue.submitted(self._logs(job)) if unfinished else None
        if submission is not None:
            self._submitted[job.folder] = (job, submission)
            self._attempts[job.folder] = submission.attempt
        elif unfinished:
            self._waiting.append(job)
        else:
            self.queue.forget(self._logs(job))

    def _logs(self, job: Job) -> Path:
        return self.output / LOGS / job.folder.relative_to(self.output)

    # -- submission ------------------------------------------------------------------------------------------------

    def _submit(self) -> None:
        """Submit runs while slots are free. A run fails if one of its prepared runs has failed."""
        for job in list(self._waiting):
            unfinished = {one.folder for one in self._waiting} | self._submitted.keys()
            missing = [before for before in job.after.values() if before.result is None]
            if failed := [before for before in missing if before.folder not in unfinished]:
                self._waiting.remove(job)
                self._fail(job, f"This run needs {failed[0].title}, which failed. Resolve that error first.")
            elif self._free() and self._ready(missing):
                self._waiting.remove(job)
                self._start(job, [self._submitted[before.folder][1] for before in missing])

    def _free(self) -> bool:
        count = self.options.slots.count
        return count is None or len(self._submitted) < count

    def _ready(self, missing: Sequence[Job]) -> bool:
        """Return whether a run can be submitted before these prepared runs have finished: SLURM waits for them."""
        return not missing or (self.queue.has_dependencies and all(job.folder in self._submitted for job in missing))

    def _start(self, job: Job, after: Sequence[Submission]) -> None:
        folders.clear_failure(job.folder)
        attempt = self._attempts[job.folder] = self._attempts.get(job.folder, 0) + 1
        used = {self._slot_of[folder] for folder in self._submitted if folder in self._slot_of}
        slot = self._slot_of[job.folder] = next(n for n in range(len(used) + 1) if n not in used)
        submission = self.queue.submit(
            self.command(job, slot), self._logs(job), title=f"nanogen {job.title}", attempt=attempt, after=after
        )
        self._submitted[job.folder] = (job, submission)
        self.log(f"{job.title}: {self.queue.begun} as {submission.title}")

    def command(self, job: Job, slot: int = 0) -> Command:
        """Return the command of a run.

        Args:
            job: The run.
            slot: Index of the slot. It determines the GPUs of the run on this machine.
        """
        slots = self.options.slots
        own = slots.gpus[slot * slots.processes : (slot + 1) * slots.processes]
        environment = {"CUDA_VISIBLE_DEVICES": ",".join(own)} if own else {}
        if slots.threads is not None:
            environment |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(slots.threads))
        words = (str(self.output), job.folder.relative_to(self.output).as_posix())
        return Command(
            module("nanogen_bench.mini.work", *words, processes=slots.processes),
            cwd=Path.cwd(),
            environment=environment,
        )

    # -- collection --------------------------------------------------------------------------------------------------

    def _collect(self) -> None:
        for job, submission in list(self._submitted.values()):
            if job.result is not None or submission.done:
                del self._submitted[job.folder]
                self.queue.forget(self._logs(job))
                self._ended(job, submission)

    def _ended(self, job: Job, submission: Submission) -> None:
        """Report an ended run, or submit it again if its job ended without a result or an error message."""
        if job.result is not None or job.error is not None:
            self._report(job)
        elif any(before.result is None for before in job.after.values()):  # SLURM has cancelled it
            self._attempts[job.folder] -= 1
            self._waiting.append(job)
        elif submission.attempt <= self.options.retries:
            self.log(f"{job.title} ended without a result and is submitted again: {submission.title}")
            self._waiting.append(job)
        else:
            self._fail(job, f"It ended without a result: {submission.title}. Read the log.")

    def _fail(self, job: Job, reason: str) -> None:
        storage.write_json(job.folder / folders.FAILURE, {"error": reason})
        self._report(job)

    def _report(self, job: Job) -> None:
        self._done += 1
        result = job.result
        left = (time.monotonic() - self._since) / self._done * (self._total - self._done) / 60
        outcome = f"failed: {job.error}" if result is None else _scores(result["scores"])
        self.log(f"[{self._done}/{self._total}] {job.title}: {outcome}  ({left:.0f} min left)")

    def _report_submitted(self) -> None:
        if self._submitted or self._waiting:
            rest = f" {counted(len(self._waiting), 'run waits', 'runs wait')} for a free slot." if self._waiting else ""
            submitted = counted(len(self._submitted), "run is", "runs are")
            self.log(f"{submitted} in SLURM's queue: run the same command to collect the results.{rest}")


def _scores(scores: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.3f}" for name, value in scores.items()) or "ready"
