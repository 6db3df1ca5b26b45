"""EMA snapshots of a run: files of EMA weights. Unlike checkpoints, old snapshots are not deleted.

A snapshot is written before the checkpoint of its step, so a run never resumes from a step whose snapshot is missing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from nanogen_files import storage

FOLDER = "snapshots"
_NAME = re.compile(r"step-(\d{8,})-width-(\d\S*)\.safetensors")


class Snapshot(NamedTuple):
    """A snapshot of EMA weights, given by its step and the width (sigma_rel) of the EMA."""

    step: int
    width: float

    def path(self, run: Path) -> Path:
        """Return the file of the snapshot."""
        return run / FOLDER / f"step-{self.step:08d}-width-{self.width!r}.safetensors"


def snapshots_in(run: Path) -> list[Snapshot]:
    """Return the snapshots of a run, sorted by step and width."""
    matches = [_NAME.fullmatch(file.name) for file in (run / FOLDER).glob("step-*.safetensors")]
    return sorted(Snapshot(int(match[1]), float(match[2])) for match in matches if match)


def write(run: Path, snapshot: Snapshot, parameters: Mapping[str, Tensor]) -> None:
    """Write a snapshot atomically. Replaces one of the same step and width."""
    storage.write_tensors(snapshot.path(run), parameters)


def clean_up(run: Path, step: int) -> None:
    """Remove partial files and the snapshots of steps after `step`. Called before a run resumes from `step`."""
    storage.sweep(run / FOLDER)
    for snapshot in snapshots_in(run):
        if snapshot.step > step:
            snapshot.path(run).unlink()
