"""Metrics log of a run: one JSON line per `log_every` steps, and one per evaluation."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nanogen_files import reading, storage

LOG = "log.jsonl"
log = logging.getLogger(__name__)
CLOCKS = (
    "seconds",
    "images_per_second",
)  # wall-clock values; all others are the same if a run is interrupted


def append(run: Path, entry: Mapping[str, Any]) -> None:
    """Append a line in a single write. A crash leaves at most one incomplete line."""
    with (run / LOG).open("a", encoding="utf-8") as file:
        file.write(json.dumps(entry) + "\n")


def sync(run: Path) -> None:
    """Flush the log to disk. Called before a checkpoint is written, so that a resumed run has all lines up to it."""
    if (run / LOG).exists():
        storage.sync(run / LOG)


def read(run: Path) -> list[dict[str, Any]]:
    """Return the entries of the log; none if it does not exist. Skips corrupt lines with a warning.

    Raises:
        DataError: The log exists but cannot be read.
    """
    return [entry for entry, _ in _lines(run)]


def cut_after(run: Path, step: int) -> None:
    """Remove corrupt lines and lines of steps after `step`, before a run resumes there. Keeps all other lines."""
    lines = [line for entry, line in _lines(run) if entry["step"] <= step]
    storage.write_bytes(run / LOG, b"".join(line + b"\n" for line in lines))


def _lines(run: Path) -> Iterator[tuple[dict[str, Any], bytes]]:
    """Yield each valid line as an entry and as bytes."""
    path = run / LOG
    for number, line in enumerate(_content(path).split(b"\n"), start=1):
        if not line.strip():
            continue
        entry = _entry(line)
        if entry is None:
            log.warning("Skipped line %d of %s: it is corrupt.", number, path)
        else:
            yield entry, line


def _content(path: Path) -> bytes:
    if not os.path.lexists(path):
        return b""
    with reading.opened(path) as file:
        return file.read()


def _entry(line: bytes) -> dict[str, Any] | None:
    """Parse a line; None if it is invalid."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    valid = isinstance(entry, dict) and isinstance(entry.get("step"), int)
    return entry if valid else None
