"""Pool of processes that execute the runs of a plan in parallel."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from nanogen_bench import launcher
from nanogen_bench.mini.folders import FAILURE
from nanogen_bench.mini.job import Job
from nanogen_core.errors import TrainingError
from nanogen_files import storage
from nanogen_train.trainer.signals import stop_request

LOGS = "logs"
POLL = 0.2  # seconds between checks of the processes
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")  # torch reads these when it is imported

Log = Callable[[str], None]


class Stopped(TrainingError):
    """The experiment was interrupted. The same command resumes it."""

    exit_code = 130


def cores() -> int:
    """Return the number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Pool:
    """Runs up to `slots` processes in parallel. The cores are divided among them."""

    def __init__(self, output: Path, slots: int, log: Log):
        """Create a pool.

        Args:
            output: Output folder of the experiment.
            slots: Maximum number of parallel processes.
            log: Receives lines of progress.
        """
        self.output, self.slots, self.log = output, slots, log
        self._working: dict[subprocess.Popen[bytes], Job] = {}
        self._waiting: list[Job] = []
        self._done, self._total, self._since = 0, 0, time.monotonic()

    def run(self, jobs: Sequence[Job]) -> None:
        """Execute all unfinished runs. A failed run writes `failure.json`; the other runs continue.

        Raises:
            Stopped: After Ctrl-C or SIGTERM, once every process has saved a checkpoint.
        """
        damaged = [job for job in jobs if job.damage is not None]
        self._waiting = [job for job in jobs if job.result is None and job not in damaged]
        self._total = len(self._waiting) + len(damaged)
        for job in damaged:
            self.log(f"{job.title} is skipped: {job.damage}")
        self.log(f"{len(jobs) - self._total} of {len(jobs)} runs are already finished.")
        with stop_request() as stop:
            try:
                while (self._waiting or self._working) and not stop:
                    self._start()
                    time.sleep(POLL)
                    self._collect()
            finally:
                self._stop_all()
        if stop:
            raise Stopped("Interrupted. Running trainings have saved checkpoints: the same command resumes.")

    def _start(self) -> None:
        """Start runs while slots are free. A run fails if one of its prepared runs has failed."""
        for job in list(self._waiting):
            unfinished = {other.folder for other in (*self._waiting, *self._working.values())}
            missing = [before for before in job.after.values() if before.result is None]
            if any(before.folder in unfinished for before in missing):
                continue
            if missing:
                self._waiting.remove(job)
                self._fail(job, f"This run needs {missing[0].title}, which failed.")
            elif len(self._working) < self.slots:
                self._waiting.remove(job)
                self._working[self._process(job)] = job

    def _process(self, job: Job) -> subprocess.Popen[bytes]:
        log = self.output / LOGS / f"{job.title.replace(' ', '-')}.txt"
        log.parent.mkdir(parents=True, exist_ok=True)
        words = [str(self.output), job.task, job.name, str(job.seed)]
        threads = dict.fromkeys(THREADS, str(max(1, cores() // self.slots)))
        with log.open("ab") as file:
            return subprocess.Popen(
                [sys.executable, launcher.__file__, "nanogen_bench.mini.work", *words],
                stdin=subprocess.PIPE,
                stdout=file,
                stderr=file,
                env={**os.environ, **threads, "PYTHONSAFEPATH": "1"},  # for child processes
                start_new_session=True,  # Ctrl-C only signals this process, which then stops the others
            )

    def _collect(self) -> None:
        for process in [process for process in self._working if process.poll() is not None]:
            job = self._working.pop(process)
            if job.result is None and job.error is None:
                self._fail(job, f"Its process ended with status {process.returncode}: see {LOGS}/.")
            else:
                self._report(job)

    def _fail(self, job: Job, reason: str) -> None:
        storage.write_json(job.folder / FAILURE, {"error": reason})
        self._report(job)

    def _report(self, job: Job) -> None:
        self._done += 1
        result = job.result
        left = (time.monotonic() - self._since) / self._done * (self._total - self._done) / 60
        outcome = f"failed: {job.error}" if result is None else _scores(result["scores"])
        self.log(f"[{self._done}/{self._total}] {job.title}: {outcome}  ({left:.0f} min left)")

    def _stop_all(self) -> None:
        """Close the standard input of all processes, which makes them stop, and wait for them."""
        for process in self._working:
            assert process.stdin is not None
            process.stdin.close()
        for process in self._working:
            process.wait()


def _scores(scores: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.3f}" for name, value in scores.items()) or "ready"
