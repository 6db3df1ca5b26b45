"""What a run writes down: one JSON line for every `log_every` steps, and whatever trackers accelerate was given."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nanogen_files import storage

LOG = "log.jsonl"
log = logging.getLogger(__name__)
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
    """The entries of a run. A line that is damaged is left out, and logged with its number."""
    return [entry for entry, _ in _lines(run)]


def cut_after(run: Path, step: int) -> None:
    """Drops what was logged after the checkpoint that a run resumes from: those steps are made again.

    Lines that stay keep their bytes.
    """
    kept = [line for entry, line in _lines(run) if entry["step"] <= step]
    storage.write_bytes(run / LOG, b"".join(line + b"\n" for line in kept))


def _lines(run: Path) -> Iterator[tuple[dict[str, Any], bytes]]:
    """Each healthy line, as an entry and as its bytes."""
    path = run / LOG
    lines = path.read_bytes().split(b"\n") if path.exists() else []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        entry = _entry(line)
        if entry is None:
            log.warning("Line %d of %s is damaged and left out.", number, path)
        else:
            yield entry, line


def _entry(line: bytes) -> dict[str, Any] | None:
    """The line as an entry, or None where it is none."""
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    whole = isinstance(entry, dict) and isinstance(entry.get("step"), int)
    return entry if whole else None
