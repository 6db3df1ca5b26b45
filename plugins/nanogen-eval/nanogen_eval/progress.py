"""How far an evaluation has come: what its metrics saw, in one file a process, to go on from after a stop."""

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
FOLDER = ".evaluating"  # in the folder of the scores; one folder inside for each set of settings
DONE = "done"
BATCH_SIZE = "batch_size"
AGAIN = "Delete it, and the evaluation does its part again."
NAME = "process-{:05d}.safetensors"
RESULT = "result.json"  # of a finished pass, until all of them are
WRITTEN = "written.json"  # that the scores are being written, see `record.write_scores`
OURS = re.compile(r"process-\d{5,}\.safetensors|result\.json|written\.json")


class Progress:
    """The saved state of one pass over `count` images in a folder of its own: another pass has another folder.

    A file holds the rows that a process has shown to its metrics, and what these kept. Where fewer processes go on,
    they take over the files of the others; a file whose rows another one already has is left alone.
    """

    def __init__(self, folder: Path, metrics: Mapping[str, Metric], count: int, share: DataShard, batch_size: int = 0):
        self._folder, self._metrics, self._share, self._batch_size = folder, metrics, share, batch_size
        self.done = torch.zeros(count, dtype=torch.bool)  # rows that any process has seen
        self._mine = torch.zeros(count, dtype=torch.bool)

    def load(self) -> None:
        """Gives the metrics what this process and those that are no longer there had seen."""
        for number, path in enumerate(self._usable()):
            if number % self._share.world == self._share.rank:
                self._take(path)

    def save(self) -> None:
        """Writes what this process has seen. Raises NanoGenError where there is no room for it."""
        tensors = {
            f"{name}|{key}": value for name, metric in self._metrics.items() for key, value in metric.state().items()
        }
        path = self._folder / NAME.format(self._share.rank)
        with writing(path):
            size = torch.tensor(self._batch_size)
            storage.write_tensors(path, {**tensors, DONE: self._mine, BATCH_SIZE: size})

    def add(self, rows: Tensor) -> None:
        """Notes rows [B] int64 as seen by this process."""
        self._mine[rows] = True
        self.done[rows] = True

    def todo(self, batch_size: int) -> Iterator[range]:
        """The rows that are left for this process, in parts of at most `batch_size`.

        The parts lie on a grid that does not depend on what is done, and go round the processes in turn: one that is
        started again sees the very batches that it would have seen.
        """
        rank, world = self._share
        for start in range(rank * batch_size, len(self.done), world * batch_size):
            part = self.done[start : start + batch_size].tolist()
            yield from (range(start + a, start + b) for a, b in _false_runs(part))

    def _usable(self) -> list[Path]:
        """The files whose rows no file before them has; `done` becomes all their rows."""
        usable = []
        for path in sorted(self._folder.glob(NAME.format(0).replace("00000", "*"))):
            done = _read_done(path)
            if len(done) == len(self.done) and not bool((done & self.done).any()):
                self.done |= done
                usable.append(path)
        return usable

    def _take(self, path: Path) -> None:
        try:
            tensors = storage.read_tensors(path)
        except DataError as error:
            raise DataError(f"{error} {AGAIN}") from error
        self._mine |= tensors.pop(DONE)
        say_other_batch_size(int(tensors.pop(BATCH_SIZE, torch.tensor(self._batch_size))), self._batch_size)
        for name, metric in self._metrics.items():
            state = {key.partition("|")[2]: value for key, value in tensors.items() if key.partition("|")[0] == name}
            metric.merge(state)


def say_other_batch_size(before: int, now: int) -> None:
    """Logs that an evaluation goes on with batches of another size than those before the stop."""
    if before != now:
        warn_once(
            log,
            f"This evaluation began with a batch size of {before} and goes on with {now}. Its scores differ by rounding"
            f" from those of an evaluation that was not stopped; for equal ones, give --batch-size {before}.",
        )


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns an error of the disk into a sentence that says how to go on."""

    def translate(reason: str) -> NanoGenError:
        return NanoGenError(
            f"{path} cannot be written ({reason}): make room, or name another --output; the same"
            " command then goes on from what was saved last."
        )

    with translate_write_errors(translate, codes=None):
        yield


def clear(folder: Path) -> None:
    """Takes the files of a finished pass away, and the folders around them that are then empty. Other files stay."""
    if not folder.is_dir():
        return
    storage.sweep(folder)
    storage.remove_files(folder, [name for name in storage.names_in(folder) if OURS.fullmatch(name)])
    with suppress(OSError):  # another pass is not finished
        folder.parent.rmdir()


def _read_done(path: Path) -> Tensor:
    try:
        with safe_open(path, "pt") as file:
            done: Tensor = file.get_tensor(DONE)
            return done
    except Exception as error:
        raise DataError(f"{path} is no whole file. {AGAIN}") from error


def _false_runs(done: list[bool]) -> Iterator[tuple[int, int]]:
    """The first and past-the-last place of every run of False."""
    start = None
    for place, value in enumerate([*done, True]):
        if not value and start is None:
            start = place
        elif value and start is not None:
            yield start, place
            start = None
