"""A run's folder belongs to one run at a time, which says who it is to the others."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from nanogen_core.errors import DataError, TrainingError
from nanogen_files import storage

LOCK = ".lock"
OWNER = ".running.json"
PATIENCE = 0.5  # seconds: longer than `at_work` holds the lock


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Holds the folder while the block runs. Raises TrainingError, which names who is at work there, where it is taken.

    The lock is the system's: it ends with its process, however that ends, and holds on other hosts too where their
    file system shares locks (NFS with its lock service does).
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=PATIENCE)
    except Timeout as error:
        raise TrainingError(
            f"Another process is training into {folder}{_owner(folder)}: wait for its end, or name another --output."
        ) from error
    try:
        storage.write_json(folder / OWNER, {"process": os.getpid(), "host": socket.gethostname(), "since": _now()})
        yield
    finally:
        lock.release()


def at_work(folder: Path) -> str | None:
    """Who is at work in the folder, in words; None where nobody is, or where one may not look.

    It takes the lock for an instant, which a run that begins then waits out.
    """
    if not (folder / LOCK).is_file():
        return None
    try:
        with FileLock(folder / LOCK, timeout=0):
            return None
    except Timeout:
        return _owner(folder).strip(" ()") or "since a moment ago"
    except OSError:
        return None


def _owner(folder: Path) -> str:
    try:
        owner = storage.read_json(folder / OWNER)
        return f" (process {owner['process']} on {owner['host']}, since {owner['since']})"
    except (DataError, KeyError, TypeError):  # it has only just begun
        return ""


def _now() -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S")
