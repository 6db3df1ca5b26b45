"""What a run writes down: one JSON line for every `log_every` steps, and whatever trackers accelerate was given."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nanogen_core import storage

LOG = "log.jsonl"
CLOCKS = (
    "seconds",
    "images_per_second",
)  # the wall clock's; all else is the same however often a run is stopped


def append(run: Path, entry: Mapping[str, Any]) -> None:
    """Adds one line, in one write, so that a crash leaves at most one broken line at the end."""
    with (run / LOG).open("a", encoding="utf-8") as file:
        file.write(json.dumps(entry) + "\n")


def sync(run: Path) -> None:
    """Waits until what was logged is on the disk: before a checkpoint of a later step is."""
    if (run / LOG).exists():
        storage.sync(run / LOG)


def read(run: Path) -> list[dict[str, Any]]:
    """The entries of a run; a last line that a crash broke is left out."""
    path = run / LOG
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    entries = []
    for line in lines:
        try:
            entries.append(json.loads(line))
        except ValueError:
            break
    return entries


def cut_after(run: Path, step: int) -> None:
    """Drops what was logged after the checkpoint that a run resumes from: those steps are made again."""
    kept = [entry for entry in read(run) if entry["step"] <= step]
    storage.write_text(run / LOG, "".join(json.dumps(entry) + "\n" for entry in kept))
