"""Snapshots: a run's averages of certain widths after certain steps, each a file that is written once and stays.

They are written before the checkpoint of their step, so that a run goes on from none without having them.
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
    """The average of the width `width` (sigma_rel) after `step` steps."""

    step: int
    width: float

    def path(self, run: Path) -> Path:
        return run / FOLDER / f"step-{self.step:08d}-width-{self.width!r}.safetensors"


def kept(run: Path) -> list[Snapshot]:
    """Those of a run, by step and width."""
    matches = [_NAME.fullmatch(file.name) for file in (run / FOLDER).glob("step-*.safetensors")]
    return sorted(Snapshot(int(match[1]), float(match[2])) for match in matches if match)


def write(run: Path, snapshot: Snapshot, parameters: Mapping[str, Tensor]) -> None:
    """One file, whole or not there, in the place of one of the same step and width."""
    storage.write_tensors(snapshot.path(run), parameters)


def tidy(run: Path, step: int) -> None:
    """Clears what a killed run left, before one goes on from `step`: later steps are made again, and so are these."""
    storage.sweep(run / FOLDER)
    for snapshot in kept(run):
        if snapshot.step > step:
            snapshot.path(run).unlink()
