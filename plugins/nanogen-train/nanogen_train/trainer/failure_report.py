"""Failure report of a run: the step and the error. Does not import torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nanogen_core.errors import DataError
from nanogen_files import storage

FILE = "failed.json"
MAX_LENGTH = 500  # characters of the reason


@contextmanager
def report_failure(run: Path, step: Callable[[], int], *, ignored: type[Exception]) -> Iterator[None]:
    """If the `with` block raises, write the exception to the run folder and raise it again.

    First deletes the report of an earlier failure. The exception is raised even if its report cannot be written. An
    unrelated file of the same name is not changed.

    Args:
        run: Folder of the run.
        step: Returns the current step.
        ignored: Exception class that is not reported.
    """
    if reason(run) is not None:
        (run / FILE).unlink(missing_ok=True)
    try:
        yield
    except ignored:
        raise
    except Exception as error:
        with suppress(OSError):
            if not (run / FILE).exists():
                message = f"{type(error).__name__}: {error}"[:MAX_LENGTH]
                storage.write_json(run / FILE, {"step": step(), "reason": message})
        raise


def reason(run: Path) -> str | None:
    """Return why the run failed; None if there is no readable report."""
    try:
        return str(storage.read_json(run / FILE)["reason"])
    except (DataError, KeyError, TypeError):
        return None
