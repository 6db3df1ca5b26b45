"""Start worker processes that look for no module in the current folder. Loads no torch.

`multiprocessing` starts a worker as `python -c "..."`. The current folder is then first on the module path, so a stray
`pickle.py` there would run. `PYTHONSAFEPATH` prevents this from Python 3.11 on. This module drops the folder before the
worker's first import, on every version.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import util
from typing import Any

SAFE = "import sys; sys.path[:] = [p for p in sys.path if p]; "  # `sys` is built in and has no file


@contextmanager
def without_current_folder() -> Iterator[None]:
    """Within this context, processes that `multiprocessing` spawns drop the current folder (POSIX)."""
    start = util.spawnv_passfds

    def safe(path: Any, args: Sequence[Any], passfds: Any) -> Any:
        return start(path, safe_command(args), passfds)

    util.spawnv_passfds = safe
    try:
        yield
    finally:
        util.spawnv_passfds = start


def safe_command(args: Sequence[Any]) -> list[Any]:
    """The command line `python ... -c CODE ...` with a CODE that first drops the current folder."""
    args = list(args)
    if "-c" in args:
        code = args.index("-c") + 1
        args[code] = SAFE + args[code]
    return args
