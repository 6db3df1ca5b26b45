"""Saved state of an evaluation: metric states and finished rows, one file per process."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from nanogen_core.errors import DataError, NanoGenError
from nanogen_data.loader import DataShard
from nanogen_data.notes import warn_once
from nanogen_eval.protocols import Metric
from nanogen_files import storage
from nanogen_files.write_errors import translate_write_errors

log = logging.getLogger(__name__)
FOLDER = ".evaluating"  # in the output folder; has a folder for each pass
LOCK = ".evaluating.lock"  # in the output folder
DONE = "done"
BATCH_SIZE = "batch_size"
DELETE = "delete the file, and the evaluation computes this part again."
NAME = "process-{:05d}.safetensors"
RESULT = "result.json"  # entries of a finished pass, until all passes are finished
WRITTEN = "written.json"  # exists while the scores are written, see `record.write_scores`
OURS = re.compile(r"process-\d{5,}\.safetensors|result\.json|written\.json")


class Progress:
    """Saved state of one pass over `count` images. Each pass has its own folder.

    Each process writes a file with its finished rows and metric states. If fewer processes resume, they also load the
    files of the missing processes. A file is ignored if any of its rows is already in a file of a lower rank.
    """

    def __init__(self, folder: Path, metrics: Mapping[str, Metric], count: int, share: DataShard, batch_size: int = 0):
        self._folder, self._metrics, self._share, self._batch_size = folder, metrics, share, batch_size
        self.done = torch.zeros(count, dtype=torch.bool)  # rows that any process has finished
        self.own = torch.zeros(count, dtype=torch.bool)  # rows that this process has finished

    def load(self, *, own: bool = False) -> None:
        """Load saved files into the metrics. The current processes divide the files of all earlier processes.

        Args:
            own: Load only the file of this process's rank, because the other processes run independently.
        """
        rank, world = self._share
        for number, path in enumerate(self._usable()):
            if path.name == NAME.format(rank) if own else number % world == rank:
                self._load(path)

    def save(self) -> None:
        """Write the state of this process. Raises NanoGenError if the file cannot be written."""
        tensors = {
            f"{name}|{key}": value for name, metric in self._metrics.items() for key, value in metric.state().items()
        }
        path = self._folder / NAME.format(self._share.rank)
        with writing(path):
            size = torch.tensor(self._batch_size)
            storage.write_tensors(path, {**tensors, DONE: self.own, BATCH_SIZE: size})

    def add(self, rows: Tensor) -> None:
        """Mark rows [B] int64 as finished by this process."""
        self.own[rows] = True
        self.done[rows] = True

    def todo(self, batch_size: int) -> Iterator[range]:
        """Yield the unfinished rows of this process in spans of at most `batch_size`.

        The processes take blocks of `batch_size` rows in turn. A span is an unfinished part of a block. Resuming with
        the same `batch_size` therefore gives the same batches as an uninterrupted evaluation.
        """
        rank, world = self._share
        for start in range(rank * batch_size, len(self.done), world * batch_size):
            part = self.done[start : start + batch_size].tolist()
            yield from (range(start + a, start + b) for a, b in _false_runs(part))

    def _usable(self) -> list[Path]:
        """Return the files whose rows are in no earlier file, and add their rows to `done`."""
        usable = []
        for path in sorted(self._folder.glob(NAME.format(0).replace("00000", "*"))):
            done = _read_done(path)
            if len(done) == len(self.done) and not bool((done & self.done).any()):
                self.done |= done
                usable.append(path)
        return usable

    def _load(self, path: Path) -> None:
        try:
            tensors = storage.read_tensors(path)
        except DataError as error:
            raise DataError(f"{error} Or {DELETE}") from error
        self.own |= tensors.pop(DONE)
        warn_other_batch_size(int(tensors.pop(BATCH_SIZE, torch.tensor(self._batch_size))), self._batch_size)
        for name, metric in self._metrics.items():
            state = {key.partition("|")[2]: value for key, value in tensors.items() if key.partition("|")[0] == name}
            metric.merge(state)


def warn_other_batch_size(before: int, now: int) -> None:
    """Log a warning if an evaluation resumes with another batch size."""
    if before != now:
        warn_once(
            log,
            f"This evaluation started with a batch size of {before} and resumes with {now}. Its scores may differ by"
            f" rounding from those of an uninterrupted evaluation. Use --batch-size {before} for identical scores.",
        )


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Replace an OSError in the block by a NanoGenError that says how to continue."""

    def translate(reason: str) -> NanoGenError:
        return NanoGenError(
            f"{path} cannot be written ({reason}). If the disk is full, free some space and run the same command again"
            " to resume. Otherwise choose another --output."
        )

    with translate_write_errors(translate, codes=None):
        yield


def clear(folder: Path) -> None:
    """Delete the state files of a pass, and folders that are then empty. Other files stay."""
    if not folder.is_dir():
        return
    storage.sweep(folder)
    storage.remove_files(folder, [name for name in storage.names_in(folder) if OURS.fullmatch(name)])
    with suppress(OSError):  # not empty: another pass is unfinished
        folder.parent.rmdir()


def _read_done(path: Path) -> Tensor:
    try:
        with safe_open(path, "pt") as file:
            done: Tensor = file.get_tensor(DONE)
            return done
    except Exception as error:
        raise DataError(f"{path} is damaged or incomplete: {DELETE}") from error


def _false_runs(done: list[bool]) -> Iterator[tuple[int, int]]:
    """Yield the start and end index of each run of False values."""
    start = None
    for place, value in enumerate([*done, True]):
        if not value and start is None:
            start = place
        elif value and start is not None:
            yield start, place
            start = None
