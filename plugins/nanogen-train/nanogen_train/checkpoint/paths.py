"""Where the checkpoints of a run lie. Loads no torch."""

from __future__ import annotations

import re
from pathlib import Path

FOLDER = "checkpoints"
_NAME = re.compile(r"step-(\d{8,})")


def path_of(run: Path, step: int) -> Path:
    return run / FOLDER / f"step-{step:08d}"


def steps_in(run: Path) -> list[int]:
    """The steps of the checkpoints of a run, in rising order."""
    folders = (run / FOLDER).glob("step-*")
    return sorted(int(match[1]) for folder in folders if (match := _NAME.fullmatch(folder.name)))
