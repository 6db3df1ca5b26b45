"""Paths of a run's checkpoints. Does not import torch."""

from __future__ import annotations

import re
from pathlib import Path

FOLDER = "checkpoints"
_NAME = re.compile(r"step-(\d{8,})")


def path_of(run: Path, step: int) -> Path:
    """Return the folder of the checkpoint of a step."""
    return run / FOLDER / f"step-{step:08d}"


def steps_in(run: Path) -> list[int]:
    """Return the steps of a run's checkpoints in ascending order."""
    folders = (run / FOLDER).glob("step-*")
    return sorted(int(match[1]) for folder in folders if (match := _NAME.fullmatch(folder.name)))
