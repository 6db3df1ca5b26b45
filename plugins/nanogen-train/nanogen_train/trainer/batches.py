"""Read batches in a thread, so that the loop notices stop requests and dead workers while it waits."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from queue import Empty, Full, Queue
from threading import Event, Thread
from typing import Any

from nanogen_core.tensors import Batch

POLL_SECONDS = 0.2  # period of checks for a stop request
FINISH_SECONDS = 1  # for the batch that is being read when the loop ends
KILLED_SECONDS = 10  # DataLoader notices a killed worker within 5 seconds


class Stopped(Exception):
    """A stop was requested while the loop waited for a batch."""


class WorkerLost(Exception):
    """A data worker process died, for example because the system ran out of memory and killed it."""


@contextmanager
def read_batches(batches: Iterator[Batch], stop: Callable[[], bool], *, num_workers: int) -> Iterator[Iterator[Batch]]:
    """Yield an iterator over batches. With worker processes, a thread reads one batch ahead.

    The iterator raises Stopped if `stop()` becomes true while it waits, and WorkerLost if a worker died. The end of the
    `with` block kills the workers that are still alive.

    Args:
        batches: Batches of a DataLoader.
        stop: Returns whether a stop was requested.
        num_workers: Number of worker processes. With 0, `batches` is yielded unchanged and never raises these errors.
    """
    if not num_workers:
        yield batches
        return
    earlier_children = set(multiprocessing.active_children())
    queue: Queue[tuple[Batch | None, BaseException | None]] = Queue(maxsize=1)
    closed = Event()
    thread = Thread(target=_fill_queue, args=(queue, batches, closed), daemon=True)
    thread.start()
    try:
        yield _from_queue(queue, stop)
    finally:
        closed.set()
        thread.join(FINISH_SECONDS)
        for child in set(multiprocessing.active_children()) - earlier_children:
            child.kill()
        thread.join(KILLED_SECONDS)  # a thread that is inside PyTorch when Python exits aborts the process


def _from_queue(queue: Queue[tuple[Batch | None, BaseException | None]], stop: Callable[[], bool]) -> Iterator[Batch]:
    while True:
        batch, error = _next(queue, stop)
        if error is not None:
            raise _translate(error) from error
        if batch is None:
            return
        yield batch


def _fill_queue(queue: Queue[Any], batches: Iterator[Batch], closed: Event) -> None:
    try:
        for batch in batches:
            if not _put(queue, (batch, None), closed):
                return
        _put(queue, (None, None), closed)
    except BaseException as error:  # raised again in the loop
        _put(queue, (None, error), closed)


def _put(queue: Queue[Any], item: tuple[Batch | None, BaseException | None], closed: Event) -> bool:
    """Put the item when there is room. Returns whether it was put before `closed` was set."""
    while not closed.is_set():
        with suppress(Full):
            queue.put(item, timeout=POLL_SECONDS)
            return True
    return False


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
