"""Worker processes that write shards. They end with their parent."""

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
from nanogen_files.torchao_messages import hide_torchao_messages

Make = Callable[[int], None]  # writes the shard of this number
SPAWN = get_context("spawn")  # forked processes cannot use CUDA or OpenMP threads


def run(numbers: Sequence[int], build: Callable[..., Make], options: Mapping[str, Any], workers: int) -> Iterator[int]:
    """Write shards in n worker processes; each writes every n-th shard. Yields the index of each finished shard.

    Args:
        numbers: Indices of the shards to write.
        build: Called in the worker process with its index `worker`. Returns the function that writes a shard.
        options: Further keyword arguments of `build`.
        workers: Number n of processes. With 1, this process does the work.

    Raises:
        DataError: A worker ended without a result. A NanoGenError or OSError of a worker is raised here unchanged. In
            both cases the other workers are terminated.
    """
    if workers == 1:
        yield from _run_here(numbers, build, {**options, "worker": 0})
        return
    processes = [
        _start(numbers[worker::workers], build, {**options, "worker": worker})
        for worker in range(min(workers, len(numbers)))
    ]
    try:
        yield from _results(processes)
    finally:
        for process, _ in processes:
            process.terminate()
            process.join()


def _run_here(numbers: Sequence[int], build: Callable[..., Make], options: Mapping[str, Any]) -> Iterator[int]:
    make = build(**options)
    for number in numbers:
        make(number)
        yield number


def _start(numbers: Sequence[int], build: Callable[..., Make], options: Mapping[str, Any]) -> tuple[Any, Connection]:
    receiver, sender = SPAWN.Pipe(duplex=False)
    process = SPAWN.Process(target=_work, args=(list(numbers), build, dict(options), sender))
    with without_current_folder():
        process.start()
    sender.close()  # otherwise the pipe stays open when the worker dies
    return process, receiver


def _results(processes: Sequence[tuple[Any, Connection]]) -> Iterator[int]:
    running: dict[Any, Any] = {connection: process for process, connection in processes}
    while running:
        ready: list[Any] = wait(running)
        for connection in ready:
            try:
                result = connection.recv()
            except EOFError:
                running.pop(connection).join()
                raise DataError(_death_message(processes)) from None
            if isinstance(result, BaseException):
                raise result
            if result is None:
                running.pop(connection)
            else:
                yield result


def _death_message(processes: Sequence[tuple[Any, Connection]]) -> str:
    codes = [process.exitcode for process, _ in processes if process.exitcode]
    return (
        f"A worker process ended with exit code {codes[0] if codes else 'unknown'}"
        f"{', probably because memory ran out: use fewer --workers' if -signal.SIGKILL in codes else ''}. Finished"
        " shards stay; run the command again to continue."
    )


def _work(numbers: Sequence[int], build: Callable[..., Make], options: Mapping[str, Any], sender: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C and ends its workers
    threading.Thread(target=_end_with_parent, daemon=True).start()
    hide_torchao_messages()
    try:
        for number in _run_here(numbers, build, options):
            sender.send(number)
        sender.send(None)
    except (NanoGenError, OSError) as error:
        sender.send(error)


def _end_with_parent() -> None:
    """End this process when the parent ends, even if the parent was killed."""
    parent = parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
