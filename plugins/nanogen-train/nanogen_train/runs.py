"""The runs in a folder, and how each stands, from what it left there. Loads no torch, and reads only ends of logs."""

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
from nanogen_train.trainer import failure_report as failure
from nanogen_train.trainer.run_folder import RECORD
from nanogen_train.trainer.run_lock import training_process

RUNNING, FINISHED, STOPPED, FAILED, DAMAGED = "running", "finished", "stopped", "failed", "damaged"
END = 1 << 16  # bytes of a log that are read: dozens of lines
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times quicker, and the file is our own


@frozen(kw_only=True)
class Described:
    """One run. `step` is the newest whole checkpoint's, of a running one that of its last log line; `active` is when it
    last logged, in seconds since 1970; `seconds` is its training time; None is for what is not known."""

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


def runs_in(folder: Path) -> list[Described]:
    """The runs in a folder and its subfolders, the most recently active first.

    A run is a folder with a log, a record or checkpoints; folders inside a run are not searched. A damaged run, and a
    folder that cannot be searched, is listed as damaged. Raises DataError if there is no such folder.
    """
    if not reading.is_folder(folder):
        raise DataError(f"There is no folder {folder}: name the one that holds your runs.")
    unreadable: list[OSError] = []
    found = [describe(run) for run in _found(folder, unreadable)]
    found += [_damaged(Path(error.filename), reading.reason(error)) for error in unreadable]
    return sorted(found, key=lambda run: run.active, reverse=True)


def describe(run: Path) -> Described:
    """The state of one run. Never raises: a run that cannot be read is damaged."""
    try:
        return _described(run)
    except NanoGenError as error:
        return _damaged(run, str(error))
    except Exception as error:  # one run must never hide the others
        return _damaged(run, f"it cannot be read ({type(error).__name__}: {error})")


def _described(run: Path) -> Described:
    steps_made = steps_in(run)
    whole = next((step for step in reversed(steps_made) if integrity.looks_whole(path_of(run, step))), None)
    known: dict[str, Any] = {"folder": run, "active": _active(run)}
    damage: list[str] = []
    entry, owner = _logged(run, damage), training_process(run)
    known |= {name: _number(entry.get(name)) for name in ("loss", "images_per_second", "seconds")}
    known |= _checked(run, damage)
    if damage:
        return Described(**known, state=DAMAGED, step=whole or 0, note=damage[0])
    logged = int(_number(entry.get("step")) or 0)
    if owner is not None:
        return Described(**known, state=RUNNING, step=logged, note=owner)
    return Described(**known, **_ended(run, known["steps"], logged, steps_made, whole))


def _damaged(run: Path, note: str) -> Described:
    return Described(folder=run, active=_active(run), state=DAMAGED, step=0, note=note)


def _active(run: Path) -> float:
    """When a run last wrote to its log, or to its folder if it has none; 0 if nobody may look."""
    for path in (run / LOG, run):
        try:
            return path.stat().st_mtime
        except OSError:
            continue
    return 0.0


def _number(value: Any) -> float | None:
    """The value if it is a finite number."""
    ordinary = isinstance(value, (int, float)) and not isinstance(value, bool)
    return value if ordinary and abs(value) < 1e18 and not math.isnan(value) else None


def _logged(run: Path, damage: list[str]) -> Mapping[str, Any]:
    """The last entry of the log; empty if there is none yet, or if the log cannot be read, which is then noted."""
    try:
        return _last_entry(run / LOG) if os.path.lexists(run / LOG) else {}
    except DataError as error:
        damage.append(_within(run, error))
        return {}


def _checked(run: Path, damage: list[str]) -> dict[str, Any]:
    """What the configuration says; notes what is wrong with it, with the record and with the folder of checkpoints."""
    found: dict[str, Any] = {}
    try:
        found = _configured(run / CONFIG)
        if os.path.lexists(run / RECORD):
            _check_record(run / RECORD)
        if os.path.lexists(run / FOLDER):
            reading.entries(run / FOLDER)
    except DataError as error:
        damage.append(_within(run, error))
    return found


def _within(run: Path, error: Exception) -> str:
    """A sentence about a file of the run, without the path of the run."""
    return str(error).replace(f"{run}{os.sep}", "")


def _check_record(path: Path) -> None:
    """Raises DataError if the record is no record of a run."""
    record = json_files.read_object(path)
    kinds = {"data": dict, "machine": dict, "changes": list}
    wrong = next((key for key, kind in kinds.items() if not isinstance(record.get(key), kind)), None)
    if wrong is not None:
        raise DataError(f"{path} is damaged: its `{wrong}` is missing or of another type.")


def _ended(run: Path, steps: int, logged: int, made: list[int], whole: int | None) -> dict[str, Any]:
    """The state of a run that nobody works on."""
    if made and whole is None:
        return {"state": DAMAGED, "step": 0, "note": "none of its checkpoints is whole"}
    if not made and logged >= steps and any(run.glob("*.safetensors")):  # somebody made room
        return {"state": FINISHED, "step": logged, "note": "without checkpoints"}
    step, reason = whole or 0, failure.reason(run)
    broken = f"the checkpoint of step {made[-1]} is damaged" if made and made[-1] != whole else None
    if step >= steps:
        return {"state": FINISHED, "step": step}
    return {"state": FAILED if reason else STOPPED, "step": step, "note": reason or broken}


def _found(folder: Path, unreadable: list[OSError]) -> Iterator[Path]:
    for place, within, names in os.walk(folder, onerror=unreadable.append):
        if _is_run(place, [*within, *names]):
            within.clear()
            yield Path(place)
        within[:] = [name for name in within if not name.startswith(".")]


def _is_run(place: str, names: list[str]) -> bool:
    """Whether a folder with these names in it is that of a run. Anything in the place of a file counts."""
    return LOG in names or RECORD in names or (FOLDER in names and bool(steps_in(Path(place))))


def _last_entry(log: Path) -> Mapping[str, Any]:
    """The last whole line of a log. Raises DataError if the log cannot be read."""
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


def _configured(path: Path) -> dict[str, Any]:
    """Steps, task and method (or objective) of a resolved configuration. Raises DataError if it is not one."""
    try:
        config = _yaml(reading.read_bytes(path, 4 * yaml_files.CHARACTERS).decode())
        steps, task = config["train"]["steps"], config["task"]["name"]
        method = config.get("method") or config["objective"]["name"]
    except (yaml.YAMLError, ConfigError, ValueError, RecursionError, AttributeError, LookupError, TypeError) as error:
        raise DataError(f"{path} is not the configuration of a run.") from error
    if type(steps) is not int or not isinstance(task, str) or not isinstance(method, str):
        raise DataError(f"{path} is not the configuration of a run.")
    return {"steps": steps, "task": task, "method": method}


def _yaml(text: str) -> Any:
    """The value of a YAML text. One with anchors may grow without limit and is read by the slower, limited reader."""
    return yaml_files.parse(text, CONFIG) if "&" in text else yaml.load(text, _LOADER)
