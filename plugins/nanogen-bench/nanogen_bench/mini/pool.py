"""Works through the runs of a plan, several at a time, each in a process of its own."""

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
POLL = 0.2  # seconds between looks at the processes
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")  # what torch reads when it is imported

Say = Callable[[str], None]


class Stopped(TrainingError):
    """The experiment was asked to stop; the same command goes on."""

    exit_code = 130


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Pool:
    """`slots` processes at a time, each with its share of the cores as threads."""

    def __init__(self, output: Path, slots: int, say: Say):
        self.output, self.slots, self.say = output, slots, say
        self._working: dict[subprocess.Popen[bytes], Job] = {}
        self._waiting: list[Job] = []
        self._done, self._total, self._since = 0, 0, time.monotonic()

    def run(self, jobs: Sequence[Job]) -> None:
        """Runs what is not finished; a run that fails leaves `failure.json`, and the rest goes on.

        Raises Stopped after Ctrl-C or SIGTERM, when every process has left its checkpoint.
        """
        damaged = [job for job in jobs if job.damage is not None]
        self._waiting = [job for job in jobs if job.result is None and job not in damaged]
        self._total = len(self._waiting) + len(damaged)
        for job in damaged:
            self.say(f"{job.title} is left as it is: {job.damage}")
        self.say(f"{len(jobs) - self._total} of {len(jobs)} runs were finished before.")
        with stop_request() as stop:
            try:
                while (self._waiting or self._working) and not stop:
                    self._start()
                    time.sleep(POLL)
                    self._collect()
            finally:
                self._end()
        if stop:
            raise Stopped("Stopped, with a checkpoint of what was being trained; the same command goes on.")

    def _start(self) -> None:
        """Starts what can start; a run whose need failed is one that failed."""
        for job in list(self._waiting):
            unfinished = {other.folder for other in (*self._waiting, *self._working.values())}
            missing = [before for before in job.after.values() if before.result is None]
            if any(before.folder in unfinished for before in missing):
                continue
            if missing:
                self._waiting.remove(job)
                self._fail(job, f"It needs {missing[0].title}, which failed.")
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
                env={**os.environ, **threads, "PYTHONSAFEPATH": "1"},  # for what the process starts in turn
                start_new_session=True,  # Ctrl-C is for this process, which tells the others
            )

    def _collect(self) -> None:
        for process in [process for process in self._working if process.poll() is not None]:
            job = self._working.pop(process)
            if job.result is None and job.error is None:
                self._fail(job, f"Its process ended with the status {process.returncode}; see {LOGS}/.")
            else:
                self._tell(job)

    def _fail(self, job: Job, reason: str) -> None:
        storage.write_json(job.folder / FAILURE, {"error": reason})
        self._tell(job)

    def _tell(self, job: Job) -> None:
        self._done += 1
        result = job.result
        left = (time.monotonic() - self._since) / self._done * (self._total - self._done) / 60
        told = f"failed: {job.error}" if result is None else _scores(result["scores"])
        self.say(f"[{self._done}/{self._total}] {job.title}: {told}  ({left:.0f} min left)")

    def _end(self) -> None:
        """Tells the processes to stop, which the end of their input does, and waits for them."""
        for process in self._working:
            assert process.stdin is not None
            process.stdin.close()
        for process in self._working:
            process.wait()


def _scores(scores: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.3f}" for name, value in scores.items()) or "ready"
