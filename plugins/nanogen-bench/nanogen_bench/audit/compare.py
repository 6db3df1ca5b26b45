"""Two runs side by side."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from attrs import frozen

from nanogen_bench.audit import configured, logged
from nanogen_bench.audit.lines import Audit, Series
from nanogen_core.config import CONFIG
from nanogen_core.config_diff import differences
from nanogen_core.errors import DataError, shown
from nanogen_files import yaml_files
from nanogen_train.logging import metrics_log

POINTS = 200  # of a curve that are kept for its plot


@frozen
class Recorded:
    """What a run left behind: its configuration and its log."""

    config: dict[str, Any]
    curves: dict[str, list[tuple[int, float]]]


def audit(first: Path | str, second: Path | str) -> Audit:
    """The audit of two folders of runs. Raises DataError where one is none, or logged nothing."""
    a, b = _recorded(Path(first)), _recorded(Path(second))
    differing = differences(a.config, b.config)
    other_task = _task(a) != _task(b)
    lines = [
        *configured.lines(a.config, b.config, differing, other_task),
        *logged.lines(a.curves, b.curves, other_task),
    ]
    names = dict.fromkeys([*a.curves, *b.curves])
    return Audit(
        first=str(first),
        second=str(second),
        tasks=(_task(a), _task(b)),
        lines=tuple(lines),
        configuration=tuple(differing),
        curves={name: (_thinned(a.curves.get(name, [])), _thinned(b.curves.get(name, []))) for name in names},
    )


def _recorded(folder: Path) -> Recorded:
    if not (folder / CONFIG).is_file() or not (folder / metrics_log.LOG).is_file():
        raise DataError(f"{folder} is no folder of a run: an audit reads its {CONFIG} and its {metrics_log.LOG}.")
    entries = metrics_log.read(folder)
    if not entries:
        raise DataError(f"The run in {folder} has logged nothing yet: train it for train.log_every steps first.")
    return Recorded(yaml_files.read(folder / CONFIG), _curves(folder, entries))


def _curves(folder: Path, entries: list[dict[str, Any]]) -> dict[str, list[tuple[int, float]]]:
    for entry in entries:
        for name, value in entry.items():
            if not isinstance(value, (int, float)):
                raise DataError(
                    f"{folder / metrics_log.LOG} is damaged: {shown(name)} of step {entry['step']} is {shown(value)},"
                    " not a number."
                )
    return logged.curves(entries)


def _task(run: Recorded) -> str:
    task = run.config.get("task")
    return str(task.get("name") if isinstance(task, dict) else task)


def _thinned(series: Series) -> Series:
    """At most POINTS points, evenly over the curve, its last one among them."""
    every = max(1, math.ceil(len(series) / POINTS))
    return [*series[::-1][::every]][::-1]
