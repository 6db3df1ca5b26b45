"""Training progress: a progress bar on a terminal, plain lines otherwise."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import click

Report = Callable[[int, Mapping[str, float]], None]


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
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("step"),
        MofNCompleteColumn(),
        BarColumn(),
        TextColumn("{task.fields[figures]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task("training", total=steps, figures="")

        def report(step: int, scalars: Mapping[str, float]) -> None:
            progress.update(bar, completed=step, figures=_figures(scalars))

        yield report


def _figures(scalars: Mapping[str, float]) -> str:
    return f"loss {scalars['loss']:.4f}  {scalars['images_per_second']:.0f} images/s"


def _plain(steps: int) -> Report:
    def report(step: int, scalars: Mapping[str, float]) -> None:
        remaining = scalars["seconds"] / step * (steps - step)
        line = f"step {step}/{steps}  {_figures(scalars)}  {scalars['seconds']:.0f} s, {remaining:.0f} s left"
        try:
            click.echo(line, err=True)
        except BrokenPipeError:  # nobody reads stderr: Python's flush at exit must not fail, which gives status 120
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())

    return report
