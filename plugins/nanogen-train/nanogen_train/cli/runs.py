"""Command `nanogen runs`."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from nanogen_train.runs import RunState

HEADINGS = ("state", "step", "task", "method", "loss", "images/s", "time", "last active", "run", "")
NUMBERS = ("step", "loss", "images/s", "time")


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), default="runs")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def runs(folder: Path, as_json: bool) -> None:
    """List the runs in FOLDER (default: runs/) with their state, most recently active first.

    States: running, finished, stopped (resume with --resume), failed (with the reason), damaged.
    """
    from nanogen_train.runs import runs_in

    listed = runs_in(folder)
    if as_json:
        click.echo(json.dumps([_plain(run) for run in listed], indent=2))
    elif listed:
        click.echo(_table([HEADINGS, *map(_row, listed)]))
    else:
        click.echo(f"No runs in {folder}.")


def _plain(run: RunState) -> dict[str, Any]:
    from attrs import asdict

    return {**asdict(run), "folder": str(run.folder), "active": _local_time(run.active)}


def _row(run: RunState) -> tuple[str, ...]:
    return (
        run.state,
        f"{run.step}/{run.steps or '?'}",
        _printable(run.task or "?"),
        _printable(run.method or "?"),
        "" if run.loss is None else f"{run.loss:.4f}",
        "" if run.images_per_second is None else f"{run.images_per_second:.0f}",
        "" if run.seconds is None else _duration(run.seconds),
        _local_time(run.active),
        _printable(str(run.folder)),
        _printable(run.note.splitlines()[0]) if run.note else "",
    )


def _printable(text: str) -> str:
    """Return the text on one line, with control characters and invalid UTF-8 escaped."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def _table(rows: list[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    right = [heading in NUMBERS for heading in rows[0]]
    lines = (
        "  ".join(cell.rjust(w) if r else cell.ljust(w) for cell, w, r in zip(row, widths, right, strict=True))
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def _local_time(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def _duration(seconds: float) -> str:
    """Return `"1 d 02:03:04"`, without days if there are none."""
    days, rest = divmod(round(seconds), 86_400)
    clock = time.strftime("%H:%M:%S", time.gmtime(rest))
    return f"{days} d {clock}" if days else clock
