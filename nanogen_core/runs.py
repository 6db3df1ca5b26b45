"""The runs in a folder, and how each stands, from what it left there. Loads no torch, and reads only ends of logs."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from attrs import frozen

from nanogen_core.config import CONFIG
from nanogen_core.errors import DataError
from nanogen_core.training import failure, integrity
from nanogen_core.training.alone import at_work
from nanogen_core.training.journal import LOG
from nanogen_core.training.places import path_of, steps_in

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
    """All runs in a folder and in the folders within, the one that logged last first.

    A run is what has a log; the folders within a run are not looked into. Raises DataError where there is no folder.
    """
    if not folder.is_dir():
        raise DataError(f"There is no folder {folder}: name the one that holds your runs.")
    return sorted((describe(run) for run in _found(folder)), key=lambda run: run.active, reverse=True)


def describe(run: Path) -> Described:
    """How one run stands."""
    steps_made = steps_in(run)
    whole = next((step for step in reversed(steps_made) if integrity.looks_whole(path_of(run, step))), None)
    entry, owner = _last_entry(run / LOG), at_work(run)
    known: dict[str, Any] = {
        "folder": run,
        "active": (run / LOG).stat().st_mtime,
        **{name: entry.get(name) for name in ("loss", "images_per_second", "seconds")},
    }
    try:
        known.update(_configured(run / CONFIG))
    except (DataError, OSError) as error:
        return Described(**known, state=DAMAGED, step=whole or 0, note=str(error))
    logged = int(entry.get("step", 0))
    if owner is not None:
        return Described(**known, state=RUNNING, step=logged, note=owner)
    return Described(**known, **_ended(run, known["steps"], logged, steps_made, whole))


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


def _found(folder: Path) -> Iterator[Path]:
    for place, within, files in os.walk(folder):
        if LOG in files:
            within.clear()
            yield Path(place)
        within[:] = [name for name in within if not name.startswith(".")]


def _last_entry(log: Path) -> Mapping[str, Any]:
    """The last whole line of a log."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - END))
        lines = file.read().splitlines()
    for line in reversed(lines):
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict):
            return entry
    return {}


def _configured(path: Path) -> dict[str, Any]:
    """Steps, task and method (or objective) of a resolved configuration. Raises DataError where it is not one."""
    try:
        config = yaml.load(path.read_text(encoding="utf-8"), _LOADER)
        method = config.get("method") or config["objective"]["name"]
        return {"steps": int(config["train"]["steps"]), "task": str(config["task"]["name"]), "method": str(method)}
    except (yaml.YAMLError, UnicodeDecodeError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path.name} is not the configuration of a run") from error
