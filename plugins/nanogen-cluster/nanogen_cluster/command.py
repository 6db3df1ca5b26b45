"""Command that runs as one job of submitit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Thread
from typing import Any

from submitit import JobEnvironment
from submitit.helpers import Checkpointable

from nanogen_cluster import launcher
from nanogen_files.errors import NanoGenError

POLL = 0.1  # seconds between checks of the process
GRACE = 60.0  # seconds between SIGTERM and the signal for requeuing, on clusters that send both
STOPPED = 143  # exit status of a job that was stopped by SIGTERM


class CommandFailed(NanoGenError):
    """The command of a job ended with an exit status other than 0."""


def module(name: str, *arguments: str, processes: int = 1) -> list[str]:
    """Return the command that runs a module without the current folder on the module path.

    Args:
        name: Module to run.
        arguments: Arguments of the module.
        processes: Number of processes; torchrun starts them if there are several.
    """
    python = [sys.executable, "-u", launcher.__file__]
    torchrun = [*python, "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    return [*python, name, *arguments] if processes == 1 else [*torchrun, launcher.__file__, name, *arguments]


class Command(Checkpointable):
    """Command that runs in a separate process and stops with its job.

    The process gets SIGTERM when the job is stopped, so that a training saves a checkpoint. Its standard input closes
    when the job ends for any reason. If SLURM stops the job for its time limit or for preemption, the job is requeued,
    and the same command runs again. A stopped command that ends with status 0 has succeeded, and is not requeued.

    Args:
        words: The command and its arguments.
        cwd: Current folder of the process.
        environment: Variables to set; None removes a variable.
    """

    def __init__(self, words: Sequence[str], *, cwd: Path, environment: Mapping[str, str | None] | None = None):
        self.words, self.cwd = list(words), cwd
        self.environment = dict(environment or {})

    def __call__(self) -> None:
        """Run the command.

        Raises CommandFailed if it fails, and SystemExit if the job is stopped before the command has succeeded.
        """
        job = JobEnvironment()
        requeue_signal = getattr(signal, f"SIG{job.USR_SIG}")
        requeue: Any = signal.getsignal(requeue_signal)  # submitit's handler
        received: list[int] = []
        process = self._start(requeue_signal)

        def stop(number: int, frame: object) -> None:
            received.append(number)
            process.terminate()

        for number in (signal.SIGTERM, requeue_signal):
            signal.signal(number, stop)
        if job.cluster == "local":
            Thread(target=_stop_with_parent, daemon=True).start()
        while process.poll() is None:
            time.sleep(POLL)
        if not process.returncode:
            return
        if received and job.cluster != "local":
            _wait_for(requeue_signal, received)
        if requeue_signal in received:
            requeue(requeue_signal, None)  # ends this process
        if received:
            raise SystemExit(STOPPED)
        raise CommandFailed(f"{' '.join(self.words)} ended with status {process.returncode}.")

    def _start(self, requeue_signal: int) -> subprocess.Popen[bytes]:
        changed = {**os.environ, "PYTHONSAFEPATH": "1", **self.environment}  # for child processes
        return subprocess.Popen(
            self.words,
            stdin=subprocess.PIPE,
            cwd=self.cwd,
            env={name: value for name, value in changed.items() if value is not None},
            # SLURM may send the signal to every process of the job, and its default action ends a process
            preexec_fn=lambda: signal.signal(requeue_signal, signal.SIG_IGN),
        )


def _wait_for(number: int, received: Sequence[int]) -> None:
    """Wait up to GRACE seconds for a signal."""
    until = time.monotonic() + GRACE
    while number not in received and time.monotonic() < until:
        time.sleep(POLL)


def _stop_with_parent() -> None:
    """Wait until the standard input closes, then send SIGTERM to this process."""
    os.read(0, 1)
    os.kill(os.getpid(), signal.SIGTERM)
