"""How a process of several leaves the others when the interpreter ends."""

from __future__ import annotations

import atexit
import gc
import time
from functools import cache

import torch.distributed as dist

PATIENCE = 0.1  # seconds


@cache
def registered() -> None:
    """Has the process leave its groups before the interpreter ends; asking again changes nothing.

    A thread of gloo's lets go of a tensor some time after its collective call was over, for which it needs the
    interpreter's lock. If there is no interpreter any more, it aborts the process: measured in a quarter of the runs
    on a busy machine, and then a training that did all its steps counts as failed.
    """
    atexit.register(_leave)


def _leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()
        gc.collect()  # a group ends its threads when nothing holds it any more
        time.sleep(PATIENCE)  # with the lock free for those of a group that something still holds
