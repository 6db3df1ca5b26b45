"""Files of a run or pipeline in a folder, and folders for new runs. Does not import torch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from nanogen_core.config import CONFIG
from nanogen_core.errors import TrainingError
from nanogen_train.checkpoint.paths import steps_in
from nanogen_train.logging.metrics_log import LOG
from nanogen_train.trainer.run_lock import training_process

RECORD = "run.json"
PIPELINE = "pipeline.json"
FILES = (CONFIG, RECORD, LOG, PIPELINE)
FOLDERS = ("checkpoints", "samples", "snapshots", "history", "adapter")


def run_files(folder: Path) -> list[str]:
    """Return the relative paths of the files and folders in `folder` that belong to a run or a pipeline."""
    return list(_run_files(folder))


def _run_files(folder: Path) -> Iterator[str]:
    yield from (name for name in FILES if (folder / name).exists())
    yield from (f"{name}/" for name in FOLDERS if (folder / name).is_dir() and any((folder / name).iterdir()))
    yield from sorted(file.name for file in folder.glob("*.safetensors"))


def refuse_occupied(folder: Path) -> None:
    """Raise TrainingError if the path is a file, or the folder contains a run or a pipeline."""
    if os.path.lexists(folder) and not folder.is_dir():
        raise TrainingError(f"{folder} exists and is not a folder: choose another --output.")
    files = run_files(folder)
    if not files:
        return
    if steps_in(folder):
        raise TrainingError(
            f"{folder} already contains a run. Choose another folder with --output. `nanogen train` can also resume the"
            " run (--resume) or move it aside (--overwrite)."
        )
    kind = "a saved pipeline" if PIPELINE in files else "a run without a checkpoint"
    raise TrainingError(
        f"{folder} already contains {kind} ({', '.join(files[:3])}). Choose another folder with --output. `nanogen"
        " train` can also move it aside (--overwrite)."
    )


def holds_no_step(folder: Path) -> bool:
    """Return whether the folder contains only the first files of a run that logged no step and that no process trains.

    Such files are the configuration, the record and an empty log. A new run can replace them.
    """
    try:
        logged = os.path.getsize(folder / LOG)
    except OSError:
        return False
    return not logged and run_files(folder) == [CONFIG, RECORD, LOG] and training_process(folder) is None


def move_aside(folder: Path) -> Path | None:
    """Rename a folder that contains a run or a pipeline.

    Returns:
        The new path, or None if there was nothing to move.

    Raises:
        TrainingError: A process is training in the folder, or it cannot be renamed.
    """
    if not run_files(folder):
        return None
    if owner := training_process(folder):
        raise TrainingError(f"{folder} cannot be moved aside: it is in use by {owner}. Choose another --output.")
    folder = folder.resolve()
    new_path = next(path for n in count(1) if not (path := folder.with_name(f"{folder.name}.old-{n}")).exists())
    try:
        os.rename(folder, new_path)
    except OSError as error:
        raise TrainingError(
            f"{folder} cannot be moved aside ({error.strerror}): move it yourself, or choose another --output."
        ) from error
    return new_path
