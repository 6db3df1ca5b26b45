"""File lock that allows one training process per run folder. Does not import torch."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from nanogen_core.errors import TrainingError
from nanogen_files.folder_lock import LOCK, folder_lock, holder_of


def run_lock(folder: Path) -> AbstractContextManager[None]:
    """Return a context that holds the lock of a run folder.

    Raises a TrainingError that names the other process if another process holds the lock.
    """

    def busy(holder: str) -> TrainingError:
        return TrainingError(
            f"Another process{holder} is training in {folder}: wait for it to end, or choose another --output."
        )

    return folder_lock(folder / LOCK, busy)


def training_process(folder: Path) -> str | None:
    """Describe the process that trains in a run folder; None if there is none."""
    return holder_of(folder / LOCK)
