"""Training progress: a progress bar on a terminal, plain lines otherwise."""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta

import click

Report = Callable[[int, Mapping[str, float]], None]
RECENT = 10  # log lines that the remaining time is estimated from


@contextmanager
def training_progress(steps: int) -> Iterator[Report]:
    """Yield a function that shows the progress. Call it with the step and the scalars of every log line."""
    if not sys.stderr.isatty():
        yield _plain(steps)
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
    )

    columns = (
        TextColumn("step"),
        MofNCompleteColumn(),
        BarColumn(),
        TextColumn("{task.fields[figures]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TextColumn("{task.fields[left]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task("training", total=steps, figures="", left="-:--:--")
        remaining = _Remaining(steps)

        def report(step: int, scalars: Mapping[str, float]) -> None:
            left = remaining.after(step, scalars["seconds"])
            time = "-:--:--" if left is None else str(timedelta(seconds=round(left)))
            progress.update(bar, completed=step, figures=_figures(scalars), left=time)

        yield report


class _Remaining:
    """Estimates the remaining time of a training from its last log lines.

    The time before the first line does not count: it includes reading the data, compilation and warm-up.
    """

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._lines: deque[tuple[int, float]] = deque(maxlen=RECENT)

    def after(self, step: int, seconds: float) -> float | None:
        """Return the seconds that remain after a log line; None after the first one."""
        self._lines.append((step, seconds))
        first, began = self._lines[0]
        return (seconds - began) / (step - first) * (self._steps - step) if step > first else None


def _figures(scalars: Mapping[str, float]) -> str:
    return f"loss {scalars['loss']:.4f}  {scalars['images_per_second']:.0f} images/s"


def _plain(steps: int) -> Report:
    remaining = _Remaining(steps)

    def report(step: int, scalars: Mapping[str, float]) -> None:
        left = remaining.after(step, scalars["seconds"])
        end = "" if left is None else f", {left:.0f} s left"
        line = f"step {step}/{steps}  {_figures(scalars)}  {scalars['seconds']:.0f} s{end}"
        try:
            click.echo(line, err=True)
        except BrokenPipeError:  # nobody reads stderr: Python's flush at exit must not fail, which gives status 120
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())

    return report
