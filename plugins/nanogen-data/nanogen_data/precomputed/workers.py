"""Several processes, each of which makes every n-th of a list of shards. None outlives the one that started it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from typing import Any

from nanogen_core.errors import DataError, NanoGenError
from nanogen_data.spawning import without_current_folder

Make = Callable[[int], None]  # makes the shard of this number
SPAWN = get_context("spawn")  # a forked process could not use a GPU, nor OpenMP's threads


def run(numbers: Sequence[int], build: Callable[..., Make], options: Mapping[str, Any], workers: int) -> Iterator[int]:
    """Makes the shards of these numbers by `build(**options)`, and says each when it is there.

    One worker is this process itself. Raises what a worker raised, and DataError where one died; the others are ended.
    """
    if workers == 1:
        yield from _alone(numbers, build, options)
        return
    processes = [_start(numbers[first::workers], build, options) for first in range(min(workers, len(numbers)))]
    try:
        yield from _answers(processes)
    finally:
        for process, _ in processes:
            process.terminate()
            process.join()


def _alone(numbers: Sequence[int], build: Callable[..., Make], options: Mapping[str, Any]) -> Iterator[int]:
    make = build(**options)
    for number in numbers:
        make(number)
        yield number


def _start(numbers: Sequence[int], build: Callable[..., Make], options: Mapping[str, Any]) -> tuple[Any, Connection]:
    here, there = SPAWN.Pipe(duplex=False)
    process = SPAWN.Process(target=_work, args=(list(numbers), build, dict(options), there))
    with without_current_folder():
        process.start()
    there.close()  # or the end of a dead worker's messages would never be seen
    return process, here


def _answers(processes: Sequence[tuple[Any, Connection]]) -> Iterator[int]:
    at_work: dict[Any, Any] = {connection: process for process, connection in processes}
    while at_work:
        ready: list[Any] = wait(at_work)
        for connection in ready:
            try:
                answer = connection.recv()
            except EOFError:
                at_work.pop(connection).join()
                raise DataError(_died(processes)) from None
            if isinstance(answer, BaseException):
                raise answer
            if answer is None:
                at_work.pop(connection)
            else:
                yield answer


def _died(processes: Sequence[tuple[Any, Connection]]) -> str:
    codes = [process.exitcode for process, _ in processes if process.exitcode]
    return (
        f"A worker process ended with exit code {codes[0] if codes else 'unknown'}"
        f"{', perhaps for want of memory: use fewer --workers' if -signal.SIGKILL in codes else ''}. The shards that"
        " are done stay; call the command again to go on."
    )


def _work(numbers: Sequence[int], build: Callable[..., Make], options: Mapping[str, Any], there: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends its workers
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        for number in _alone(numbers, build, options):
            there.send(number)
        there.send(None)
    except (NanoGenError, OSError) as error:
        there.send(error)


def _end_with_parent() -> None:
    """A parent that was killed could not end its workers."""
    parent = parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
