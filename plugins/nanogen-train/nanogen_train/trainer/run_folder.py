"""What a folder holds of a run or of a pipeline, and how a new run gets a folder of its own. Loads no torch."""

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
FOLDERS = ("checkpoints", "samples", "snapshots", "history")


def contents(folder: Path) -> list[str]:
    """The names of what belongs to a run or a pipeline, relative to the folder."""
    return list(_contents(folder))


def _contents(folder: Path) -> Iterator[str]:
    yield from (name for name in FILES if (folder / name).exists())
    yield from (f"{name}/" for name in FOLDERS if (folder / name).is_dir() and any((folder / name).iterdir()))
    yield from sorted(file.name for file in folder.glob("*.safetensors"))


def refuse_occupied(folder: Path) -> None:
    """Raises TrainingError where the folder is a file, or holds anything of a run or a pipeline."""
    if os.path.lexists(folder) and not folder.is_dir():
        raise TrainingError(f"{folder} is there and is no folder: name another --output.")
    found = contents(folder)
    if not found:
        return
    if steps_in(folder):
        raise TrainingError(
            f"{folder} already holds a run: resume it with --resume, move it aside with --overwrite, or name another"
            " folder with --output."
        )
    kind = "a saved pipeline" if PIPELINE in found else "a run without a checkpoint"
    raise TrainingError(
        f"{folder} already holds {kind} ({', '.join(found[:3])}): move it aside with --overwrite, or name another"
        " folder with --output."
    )


def move_aside(folder: Path) -> Path | None:
    """Renames a folder that holds a run or a pipeline; returns its new name, or None where there was nothing.

    Raises TrainingError where a run is at work in it, or where it cannot be renamed.
    """
    if not contents(folder):
        return None
    if owner := training_process(folder):
        raise TrainingError(f"{folder} cannot be moved aside: {owner} is training into it. Name another --output.")
    folder = folder.resolve()
    free = next(path for n in count(1) if not (path := folder.with_name(f"{folder.name}.old-{n}")).exists())
    try:
        os.rename(folder, free)
    except OSError as error:
        raise TrainingError(
            f"{folder} cannot be moved aside ({error.strerror}): move it yourself, or name another --output."
        ) from error
    return free
