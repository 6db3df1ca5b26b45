"""A SLURM for tests, made of the stand-in commands."""

import os
import runpy
import subprocess
import sys
import time
from pathlib import Path

from submitit import SlurmJob

STAND_IN = Path(__file__).with_name("slurm_stand_in.py")


class Slurm:
    """The stand-in commands on PATH, and the state of their jobs."""

    def __init__(self, folder, monkeypatch):
        self.folder = folder / "slurm"
        self.folder.mkdir()
        SlurmJob.watcher.clear()  # every test has jobs of the same numbers
        monkeypatch.setenv("SLURM_STAND_IN", str(self.folder))
        runpy.run_path(str(STAND_IN))["install"](folder / "bin")
        monkeypatch.setenv("PATH", f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}")

    @property
    def scripts(self):
        return {path.name.removeprefix("script-"): path.read_text() for path in self.folder.glob("script-*")}

    def state(self, job):
        file = self.folder / job / "state"
        return file.read_text() if file.exists() else None

    def runs(self, job):
        """How often a job has started."""
        file = self.folder / job / "runs"
        return len(file.read_text().splitlines()) if file.exists() else 0

    def wait(self, job, state, seconds=120):
        until(lambda: self.state(job) == state, seconds, lambda: f"job {job} is {self.state(job)}, not {state}")

    def cancel(self, job, *options):
        subprocess.run(["scancel", job, *options], check=True)


def until(condition, seconds=120, what=lambda: "it did not happen"):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, what()
        time.sleep(0.05)


def shell(text):
    return ["/bin/sh", "-c", text]


def python(text):
    return [sys.executable, "-c", text]
