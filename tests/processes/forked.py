"""Processes that are forked from a server, which has imported torch: a second each instead of eight.

A process begins with none of the state of the tests: no plugin, no seed, no warning that was given.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["tests.processes.preloaded"])


def nanogen(
    *words: object, cwd: Path | None = None, environment: Mapping[str, str] = os.environ
) -> subprocess.CompletedProcess[str]:
    """Run `nanogen WORDS` in a process; its status and its output."""
    return ended(command, [str(word) for word in words], cwd=cwd, environment=environment)


def python(code: str, *, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run Python code in a process; its status and its output."""
    return ended(exec, code, {"__name__": "__main__"}, cwd=cwd)


def ended(
    function: Callable[..., Any], *given: Any, cwd: Path | None = None, environment: Mapping[str, str] = os.environ
) -> subprocess.CompletedProcess[str]:
    """Call a function of a module in a process; the process's status and its output."""
    with TemporaryDirectory() as folder:
        out, err = (Path(folder) / name for name in ("out", "err"))
        process = SERVER.Process(target=_called, args=(out, err, cwd, {**environment}, function, given))
        process.start()
        process.join(timeout=300)
        if process.exitcode is None:
            process.kill()
            process.join()
        assert process.exitcode is not None
        texts = (file.read_text(encoding="utf-8") for file in (out, err))
        return subprocess.CompletedProcess(given, process.exitcode, *texts)


def together(function: Callable[..., Any], *given: Any, **environment: str) -> str:
    """Call a function in two processes that are one group of torch's, as torchrun starts them; what they print.

    The second one is not forked, so that it has a hash seed of its own, as under torchrun. Both must succeed.
    """
    with TemporaryDirectory() as folder:
        place = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": _free_port()}
        processes, files = [], [Path(folder) / "0", Path(folder) / "1"]
        for rank, context in enumerate((SERVER, multiprocessing.get_context("spawn"))):
            mine = {**os.environ, **environment, **place, "RANK": str(rank), "LOCAL_RANK": str(rank)}
            processes.append(
                context.Process(target=_called, args=(files[rank], files[rank], None, mine, function, given))
            )
            processes[rank].start()
        for process in processes:
            process.join(timeout=600)
            process.kill()
            process.join()
        told = "".join(file.read_text(encoding="utf-8") for file in files if file.exists())
        assert [process.exitcode for process in processes] == [0, 0], told[-4000:]
        return told


def _called(
    out: Path, err: Path, cwd: Path | None, environment: dict[str, str], function: Callable[..., Any], given: Any
) -> None:
    import torch

    torch.set_num_threads(1)
    for number, file in ((1, out), (2, err)):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    os.environ.clear()
    os.environ.update(environment)
    if cwd is not None:
        os.chdir(cwd)
    function(*given)


def command(words: list[str]) -> None:
    """The command line in this process."""
    from nanogen_core.cli.main import main

    sys.argv = ["nanogen", *words]
    main()


def _free_port() -> str:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])
