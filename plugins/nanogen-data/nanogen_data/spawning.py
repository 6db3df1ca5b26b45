"""Start worker processes without the current folder on the module path. Does not import torch.

`multiprocessing` starts a worker as `python -c "..."`, which puts the current folder first on the module path. A stray
`pickle.py` there would run. `PYTHONSAFEPATH` prevents this from Python 3.11 on. This module removes the folder before
the worker's first import, on every version.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import util
from typing import Any

SAFE = "import sys; sys.path[:] = [p for p in sys.path if p]; "  # `sys` is built in and has no file


@contextmanager
def without_current_folder() -> Iterator[None]:
    """Remove the current folder from the module path of processes that `multiprocessing` spawns in this context
    (POSIX).
    """
    start = util.spawnv_passfds

    def safe(path: Any, args: Sequence[Any], passfds: Any) -> Any:
        return start(path, safe_command(args), passfds)

    util.spawnv_passfds = safe
    try:
        yield
    finally:
        util.spawnv_passfds = start


def safe_command(args: Sequence[Any]) -> list[Any]:
    """Return the command line `python ... -c CODE ...`, where CODE first removes the current folder from `sys.path`."""
    args = list(args)
    if "-c" in args:
        code = args.index("-c") + 1
        args[code] = SAFE + args[code]
    return args
