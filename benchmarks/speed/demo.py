"""Peak memory of a shortened demo on both tasks, from reading the drawings to the scores."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.speed.timing import Row

STEPS = 50


def memory() -> Iterator[Row]:
    """Yield the largest peak resident size of both tasks' processes."""
    peaks = {task: _peak(task) for task in ("imagenet", "t2i")}
    yield Row(
        name="a training process of the demo",
        against="",
        figure=max(peaks.values()) * 1024**2 / 1e9,
        unit="GB",
        at_most=2.0,
        detail=", ".join(f"{task} {peak:.0f} MiB" for task, peak in peaks.items()),
        peak_mib=max(peaks.values()),
    )


def _peak(task: str) -> float:
    """Run the demo and return its peak resident size in MiB."""
    with tempfile.TemporaryDirectory() as folder:
        output = ["--task", task, "--output", str(Path(folder) / "run")]
        command = [sys.executable, "-m", "nanogen_core", "demo", *output, "--set", f"train.steps={STEPS}"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with status {process.returncode}.")
    return usage.ru_maxrss / 1024
