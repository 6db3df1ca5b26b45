"""The batches of a run, read so that a stop request or a lost worker is noticed while the loop waits for data."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Empty, Queue
from threading import Thread
from typing import Any

from nanogen_core.tensors import Batch

POLL = 0.2  # seconds between two looks at the stop request


class Stopped(Exception):
    """A stop was requested while the loop waited for a batch."""


class WorkerLost(Exception):
    """A process that reads data ended without a word, for example because the system killed it for its memory."""


@contextmanager
def watched(batches: Iterator[Batch], stop: Callable[[], bool], *, num_workers: int) -> Iterator[Iterator[Batch]]:
    """The batches, one read ahead by a thread where worker processes read them.

    The iterator raises Stopped where `stop()` turns true while it waits, and WorkerLost where a worker process died.
    Workers that are still alive after the block, even suspended ones, are killed.
    """
    if not num_workers:
        yield batches
        return
    before = set(multiprocessing.active_children())
    try:
        yield _read_ahead(batches, stop)
    finally:
        for child in set(multiprocessing.active_children()) - before:
            child.kill()


def _read_ahead(batches: Iterator[Batch], stop: Callable[[], bool]) -> Iterator[Batch]:
    queue: Queue[tuple[Batch | None, BaseException | None]] = Queue(maxsize=1)
    Thread(target=_fill, args=(queue, batches), daemon=True).start()
    while True:
        batch, error = _next(queue, stop)
        if error is not None:
            raise _translated(error) from error
        if batch is None:
            return
        yield batch


def _fill(queue: Queue[Any], batches: Iterator[Batch]) -> None:
    try:
        for batch in batches:
            queue.put((batch, None))
        queue.put((None, None))
    except BaseException as error:  # the loop raises it
        queue.put((None, error))


def _next(queue: Queue[Any], stop: Callable[[], bool]) -> tuple[Batch | None, BaseException | None]:
    while True:
        try:
            found: tuple[Batch | None, BaseException | None] = queue.get(timeout=POLL)
            return found
        except Empty:
            if stop():
                raise Stopped from None


def _translated(error: BaseException) -> BaseException:
    """DataLoader says by a RuntimeError that a worker process is gone, and by a broken connection while it reads."""
    lost = isinstance(error, RuntimeError) and "DataLoader worker" in str(error)
    broken = isinstance(error, (ConnectionError, EOFError))
    return WorkerLost(str(error) or type(error).__name__) if lost or broken else error
