"""Read batches in a thread, so that the loop notices stop requests and dead workers while it waits."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Empty, Queue
from threading import Thread
from typing import Any

from nanogen_core.tensors import Batch

POLL_SECONDS = 0.2  # period of checks for a stop request


class Stopped(Exception):
    """A stop was requested while the loop waited for a batch."""


class WorkerLost(Exception):
    """A data worker process died, for example because the system killed it for its memory."""


@contextmanager
def read_batches(batches: Iterator[Batch], stop: Callable[[], bool], *, num_workers: int) -> Iterator[Iterator[Batch]]:
    """Yield an iterator over batches. With worker processes, a thread reads one batch ahead.

    The iterator raises Stopped if `stop()` becomes true while it waits, and WorkerLost if a worker died. Kills workers
    that are still alive after the block.

    Args:
        batches: Batches of a DataLoader.
        stop: Returns whether a stop was requested.
        num_workers: Number of worker processes; with 0 the batches are passed through.
    """
    if not num_workers:
        yield batches
        return
    earlier_children = set(multiprocessing.active_children())
    try:
        yield _read_ahead(batches, stop)
    finally:
        for child in set(multiprocessing.active_children()) - earlier_children:
            child.kill()


def _read_ahead(batches: Iterator[Batch], stop: Callable[[], bool]) -> Iterator[Batch]:
    queue: Queue[tuple[Batch | None, BaseException | None]] = Queue(maxsize=1)
    Thread(target=_fill_queue, args=(queue, batches), daemon=True).start()
    while True:
        batch, error = _next(queue, stop)
        if error is not None:
            raise _translate(error) from error
        if batch is None:
            return
        yield batch


def _fill_queue(queue: Queue[Any], batches: Iterator[Batch]) -> None:
    try:
        for batch in batches:
            queue.put((batch, None))
        queue.put((None, None))
    except BaseException as error:  # raised again in the loop
        queue.put((None, error))


def _next(queue: Queue[Any], stop: Callable[[], bool]) -> tuple[Batch | None, BaseException | None]:
    while True:
        try:
            item: tuple[Batch | None, BaseException | None] = queue.get(timeout=POLL_SECONDS)
            return item
        except Empty:
            if stop():
                raise Stopped from None


def _translate(error: BaseException) -> BaseException:
    """Return WorkerLost for the errors that DataLoader raises when a worker died; other errors unchanged."""
    lost = isinstance(error, RuntimeError) and "DataLoader worker" in str(error)
    broken = isinstance(error, (ConnectionError, EOFError))
    return WorkerLost(str(error) or type(error).__name__) if lost or broken else error
