"""File lock that allows one process at a time to work in a folder. Does not import torch."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from nanogen_files import storage
from nanogen_files.errors import DataError

LOCK = ".lock"  #: usual name of a folder's lock file
HOLDER = "-holder.json"  # suffix of the file beside the lock that describes its holder
LOCK_FILES = (LOCK, LOCK + HOLDER)  #: hidden files that `folder_lock(folder / LOCK)` writes
TIMEOUT = 0.5  # seconds; longer than `holder_of` holds the lock


@contextmanager
def folder_lock(lock: Path, busy: Callable[[str], Exception], *, timeout: float = TIMEOUT) -> Iterator[None]:
    """Hold a lock file while the block runs.

    The operating system releases the lock when the process ends for any reason. On a network file system the lock
    also excludes other hosts if that file system supports locks (NFS with its lock service does).

    Args:
        lock: Lock file. Its folder is created.
        busy: Returns the exception to raise if another process holds the lock. Its argument describes the holder, such
            as `" (process 7 on host a, since 2026-01-31 12:00:00)"`, or is empty if the holder is unknown.
        timeout: Seconds to wait for the lock.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    file_lock = FileLock(lock)
    try:
        file_lock.acquire(timeout=timeout)
    except Timeout as error:
        raise busy(_description(lock)) from error
    holder = _holder_file(lock)
    try:
        with suppress(OSError):  # a full disk; the description is optional
            storage.write_json(holder, {"process": os.getpid(), "host": socket.gethostname(), "since": _now()})
        yield
    finally:
        with suppress(OSError):
            holder.unlink()
        file_lock.release()


def holder_of(lock: Path) -> str | None:
    """Describe the process that holds a lock file.

    Holds the lock for an instant, so a process that wants the lock at that moment has to wait.

    Returns:
        A description such as `"process 7 on host a, since 2026-01-31 12:00:00"`, or `"an unknown process"`. None if the
        lock is free, does not exist, or cannot be opened.
    """
    if not lock.is_file():
        return None
    try:
        with FileLock(lock, timeout=0):
            return None
    except Timeout:
        return _description(lock).strip(" ()") or "an unknown process"
    except OSError:
        return None


def _holder_file(lock: Path) -> Path:
    return lock.with_name(lock.name + HOLDER)


def _description(lock: Path) -> str:
    try:
        holder = storage.read_json(_holder_file(lock))
        return f" (process {holder['process']} on host {holder['host']}, since {holder['since']})"
    except (DataError, KeyError, TypeError):  # not written yet
        return ""


def _now() -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S")
