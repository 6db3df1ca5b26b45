"""Find the runs in a folder and describe their state. Does not import torch. Reads only the ends of logs."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from attrs import frozen

from nanogen_core.config import CONFIG
from nanogen_core.errors import ConfigError, DataError, NanoGenError
from nanogen_files import json_files, reading, yaml_files
from nanogen_train.checkpoint import integrity
from nanogen_train.checkpoint.paths import FOLDER, path_of, steps_in
from nanogen_train.logging.metrics_log import LOG
from nanogen_train.trainer import failure_report
from nanogen_train.trainer.run_folder import RECORD
from nanogen_train.trainer.run_lock import training_process

RUNNING, FINISHED, STOPPED, FAILED, DAMAGED = "running", "finished", "stopped", "failed", "damaged"
END = 1 << 16  # bytes read at the end of a log, dozens of lines
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times faster


@frozen(kw_only=True)
class RunState:
    """The state of a run. None means unknown, except for `note`.

    Args:
        folder: Folder of the run.
        state: "running", "finished", "stopped", "failed" or "damaged".
        step: Step of the newest intact checkpoint, 0 without one. For a running run, and for a finished run without
            checkpoints: step of the last log line.
        active: Time of the last write to the log, or to the folder if there is no log, in seconds since 1970. 0 if
            unknown.
        steps: Steps of the whole run, from the configuration.
        task: Name of the task.
        method: Name of the method, or of the objective if there is no method.
        loss: Loss of the last log line.
        images_per_second: Training speed at the last log line.
        seconds: Training time at the last log line, in seconds.
        note: The process of a running run, what is wrong, or that a finished run has no checkpoints. None otherwise.
    """

    folder: Path
    state: str
    step: int
    active: float
    steps: int | None = None
    task: str | None = None
    method: str | None = None
    loss: float | None = None
    images_per_second: float | None = None
    seconds: float | None = None
    note: str | None = None


def runs_in(folder: Path) -> list[RunState]:
    """Return the runs in a folder and its subfolders, most recently active first.

    A run is a folder with a log, a record or checkpoints. Folders inside a run and hidden folders are not searched.
    Corrupt runs and folders that cannot be searched are listed as damaged.

    Raises:
        DataError: The folder does not exist.
    """
    if not reading.is_folder(folder):
        raise DataError(f"There is no folder {folder}. Give the folder that contains your runs.")
    unreadable: list[OSError] = []
    found = [describe(run) for run in _run_folders(folder, unreadable)]
    found += [_damaged_run(Path(error.filename), reading.reason(error)) for error in unreadable]
    return sorted(found, key=lambda run: run.active, reverse=True)


def describe(run: Path) -> RunState:
    """Return the state of a run. Never raises: the state of an unreadable run is "damaged"."""
    try:
        return _describe(run)
    except NanoGenError as error:
        return _damaged_run(run, str(error))
    except Exception as error:  # one unreadable run must not hide the others
        return _damaged_run(run, f"it cannot be read ({type(error).__name__}: {error})")


def _describe(run: Path) -> RunState:
    steps_made = steps_in(run)
    intact = next((step for step in reversed(steps_made) if integrity.looks_complete(path_of(run, step))), None)
    fields: dict[str, Any] = {"folder": run, "active": _last_active(run)}
    problems: list[str] = []
    entry, owner = _last_logged(run, problems), training_process(run)
    fields |= {name: _number(entry.get(name)) for name in ("loss", "images_per_second", "seconds")}
    fields |= _read_config(run, problems)
    if problems:
        return RunState(**fields, state=DAMAGED, step=intact or 0, note=problems[0])
    logged = int(_number(entry.get("step")) or 0)
    if owner is not None:
        return RunState(**fields, state=RUNNING, step=logged, note=owner)
    return RunState(**fields, **_inactive_state(run, fields["steps"], logged, steps_made, intact))


def _damaged_run(run: Path, note: str) -> RunState:
    return RunState(folder=run, active=_last_active(run), state=DAMAGED, step=0, note=note)


def _last_active(run: Path) -> float:
    """Return when a run last wrote to its log, or to its folder if it has none; 0 if unknown."""
    for path in (run / LOG, run):
        try:
            return path.stat().st_mtime
        except OSError:
            continue
    return 0.0


def _number(value: Any) -> float | None:
    """Return the value if it is a finite number, else None."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return value if is_number and abs(value) < 1e18 and not math.isnan(value) else None


def _last_logged(run: Path, problems: list[str]) -> Mapping[str, Any]:
    """Return the last log entry; empty if there is none. Appends an error to `problems` if the log cannot be read."""
    try:
        return _last_entry(run / LOG) if os.path.lexists(run / LOG) else {}
    except DataError as error:
        problems.append(_relative(run, error))
        return {}


def _read_config(run: Path, problems: list[str]) -> dict[str, Any]:
    """Return the steps, task and method.

    Appends errors of the configuration, record and checkpoint folder to `problems`.
    """
    found: dict[str, Any] = {}
    try:
        found = _parse_config(run / CONFIG)
        if os.path.lexists(run / RECORD):
            _check_record(run / RECORD)
        if os.path.lexists(run / FOLDER):
            reading.entries(run / FOLDER)
    except DataError as error:
        problems.append(_relative(run, error))
    return found


def _relative(run: Path, error: Exception) -> str:
    """Return an error message without the path of the run."""
    return str(error).replace(f"{run}{os.sep}", "")


def _check_record(path: Path) -> None:
    """Raise DataError if the file is not the record of a run."""
    record = json_files.read_object(path)
    types = {"data": dict, "machine": dict, "changes": list}
    wrong = next((key for key, kind in types.items() if not isinstance(record.get(key), kind)), None)
    if wrong is not None:
        raise DataError(
            f"{path} is corrupt: its `{wrong}` is missing or has the wrong type. Restore it from a copy, or repeat the"
            " run."
        )


def _inactive_state(run: Path, steps: int, logged: int, made: list[int], intact: int | None) -> dict[str, Any]:
    """Return the state of a run that no process works on."""
    if made and intact is None:
        return {"state": DAMAGED, "step": 0, "note": "all checkpoints are corrupt"}
    if not made and logged >= steps and any(run.glob("*.safetensors")):  # checkpoints were deleted
        return {"state": FINISHED, "step": logged, "note": "without checkpoints"}
    step, reason = intact or 0, failure_report.reason(run)
    corruption = f"the checkpoint of step {made[-1]} is corrupt" if made and made[-1] != intact else None
    if step >= steps:
        return {"state": FINISHED, "step": step}
    return {"state": FAILED if reason else STOPPED, "step": step, "note": reason or corruption}


def _run_folders(folder: Path, unreadable: list[OSError]) -> Iterator[Path]:
    for place, within, names in os.walk(folder, onerror=unreadable.append):
        if _is_run(place, [*within, *names]):
            within.clear()
            yield Path(place)
        within[:] = [name for name in within if not name.startswith(".")]


def _is_run(place: str, names: list[str]) -> bool:
    """Return whether a folder with these entries is a run."""
    return LOG in names or RECORD in names or (FOLDER in names and bool(steps_in(Path(place))))


def _last_entry(log: Path) -> Mapping[str, Any]:
    """Return the last complete entry of a log. Raises DataError if the log cannot be read."""
    with reading.opened(log) as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - END))
        lines = file.read().splitlines()
    for line in reversed(lines):
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(entry, dict):
            return entry
    return {}


def _parse_config(path: Path) -> dict[str, Any]:
    """Return steps, task and method (or objective) of a resolved configuration. Raises DataError if it is not one."""
    try:
        config = _yaml(reading.read_bytes(path, 4 * yaml_files.CHARACTERS).decode())
        steps, task = config["train"]["steps"], config["task"]["name"]
        method = config.get("method") or config["objective"]["name"]
    except (yaml.YAMLError, ConfigError, ValueError, RecursionError, AttributeError, LookupError, TypeError) as error:
        raise DataError(_not_a_configuration(path)) from error
    if type(steps) is not int or not isinstance(task, str) or not isinstance(method, str):
        raise DataError(_not_a_configuration(path))
    return {"steps": steps, "task": task, "method": method}


def _not_a_configuration(path: Path) -> str:
    return f"{path} is not the configuration of a run. Restore it from a copy, or repeat the run."


def _yaml(text: str) -> Any:
    """Parse a YAML text. Texts with anchors can expand without limit and use the slower reader with limits."""
    return yaml_files.parse(text, CONFIG) if "&" in text else yaml.load(text, _LOADER)
