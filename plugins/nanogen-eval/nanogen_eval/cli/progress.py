"""Progress of an evaluation on standard error: bars on a terminal, lines of text elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import click

from nanogen_eval.options import ProgressCallback

SECONDS = 10.0  # between two lines of text


@contextmanager
def progress_reporter() -> Iterator[ProgressCallback]:
    """Yield a progress callback. It prints nothing on processes other than rank 0."""
    from nanogen_data.loader import DataShard

    if DataShard.here().rank:
        yield lambda what, done, total: None
    elif sys.stderr.isatty():
        yield from _bars()
    else:
        yield _plain()


def _bars() -> Iterator[ProgressCallback]:
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
        TextColumn("{task.description}"),
        MofNCompleteColumn(),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[rate]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bars: dict[str, int] = {}

        def report(what: str, done: int, total: int) -> None:
            if what not in bars:
                bars[what] = progress.add_task(what, total=total, rate="")
            task = bars[what]
            progress.update(task, completed=done)  # type: ignore[arg-type]
            speed = progress.tasks[task].speed
            progress.update(task, rate=f"{speed:.1f} per second" if speed else "")  # type: ignore[arg-type]

        yield report


def _plain() -> ProgressCallback:
    last: dict[str, float] = {}
    first: dict[str, tuple[float, int]] = {}  # time and number of the first report

    def report(what: str, done: int, total: int) -> None:
        now = time.monotonic()
        began, before = first.setdefault(what, (now, done))
        if done == total or now - last.setdefault(what, now) >= SECONDS:
            rate = f", {(done - before) / (now - began):.1f} per second" if done > before and now > began else ""
            click.echo(f"{what}: {done} of {total}{rate}", err=True)
            last[what] = now

    return report
