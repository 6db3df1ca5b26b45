"""The note that a run leaves when it fails: at which step, and why. Loads no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nanogen_core.errors import DataError
from nanogen_files import storage

FILE = "failed.json"
LONGEST = 500  # letters of the reason


@contextmanager
def noted(run: Path, step: Callable[[], int], *, but: type[Exception]) -> Iterator[None]:
    """Writes down the exception that leaves the block, except a `but`; what an earlier run noted is cleared.

    Where there is no room for the note there is none, and the exception goes on. A file of this name that is no note
    stays as it is.
    """
    if reason(run) is not None:
        (run / FILE).unlink(missing_ok=True)
    try:
        yield
    except but:
        raise
    except Exception as error:
        with suppress(OSError):
            if not (run / FILE).exists():
                told = f"{type(error).__name__}: {error}"[:LONGEST]
                storage.write_json(run / FILE, {"step": step(), "reason": told})
        raise


def reason(run: Path) -> str | None:
    """Why the run failed; None where it did not, or said nothing."""
    try:
        return str(storage.read_json(run / FILE)["reason"])
    except (DataError, KeyError, TypeError):
        return None
