"""What worker processes of the tests are asked to do, in a module that does not import torch."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

from nanogen_core.errors import DataError


def dying(worker: int) -> Callable[[int], None]:
    return lambda number: os.kill(os.getpid(), signal.SIGKILL)


def noting(folder: Path, worker: int) -> Callable[[int], None]:
    def make(number: int) -> None:
        (folder / str(number)).write_text(str(worker))

    return make


def complaining(worker: int) -> Callable[[int], None]:
    def make(number: int) -> None:
        raise DataError(f"The shard {number - number % 2} is odd.")

    return make
