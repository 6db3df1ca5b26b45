"""Audit of two run folders."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from attrs import frozen

from nanogen_bench.audit import configured, logged
from nanogen_bench.audit.lines import Audit, Series
from nanogen_core.config import CONFIG
from nanogen_core.errors import DataError, shown
from nanogen_files import yaml_files
from nanogen_files.config_diff import differences
from nanogen_train.logging import metrics_log

POINTS = 200  # maximum number of points of a curve


@frozen
class Recorded:
    """Configuration and log of a run."""

    config: dict[str, Any]
    curves: dict[str, list[tuple[int, float]]]


def audit(first: Path | str, second: Path | str) -> Audit:
    """Compare two runs.

    Args:
        first: Folder of the first run.
        second: Folder of the second run.

    Raises:
        DataError: A folder is not a run, its log has no entries, or a logged value is not a number.
        ConfigError: A configuration file is not valid YAML.
    """
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
        raise DataError(
            f"{folder} is not a run folder: it must contain {CONFIG} and {metrics_log.LOG}. "
            "Give the folder that `nanogen train` wrote."
        )
    entries = metrics_log.read(folder)
    if not entries:
        raise DataError(f"The log of the run in {folder} is empty. Train the run for at least train.log_every steps.")
    return Recorded(yaml_files.read(folder / CONFIG), _curves(folder, entries))


def _curves(folder: Path, entries: list[dict[str, Any]]) -> dict[str, list[tuple[int, float]]]:
    for entry in entries:
        for name, value in entry.items():
            if not isinstance(value, (int, float)):
                raise DataError(
                    f"{folder / metrics_log.LOG} is damaged: {shown(name)} of step {entry['step']} must be a number,"
                    f" but is {shown(value)}. Delete that line, or repeat the run."
                )
    return logged.curves(entries)


def _task(run: Recorded) -> str:
    task = run.config.get("task")
    return str(task.get("name") if isinstance(task, dict) else task)


def _thinned(series: Series) -> Series:
    """Reduce a curve to at most POINTS evenly spaced points, including the last one."""
    every = max(1, math.ceil(len(series) / POINTS))
    return [*series[::-1][::every]][::-1]
