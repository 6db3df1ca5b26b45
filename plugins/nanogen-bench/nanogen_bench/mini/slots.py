"""Number of parallel jobs on this machine, and their shares of its GPUs and CPU cores."""

from __future__ import annotations

import os

from nanogen_bench.mini.scheduler import Slots
from nanogen_core.errors import ConfigError
from nanogen_files.errors import counted


def cores() -> int:
    """Return the number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def local_slots(count: int | None, gpus: int | None) -> Slots:
    """Divide this machine among parallel jobs.

    Args:
        count: Number of parallel jobs. None: as many as the GPUs allow, or one per CPU core if `gpus` is None.
        gpus: Number of GPUs of each job. None: every job sees all GPUs.

    Raises:
        ConfigError: This process sees too few GPUs.
    """
    if gpus is None:
        count = count or cores()
        return Slots(count=count, threads=max(1, cores() // count))
    names = _visible_gpus()
    count = count or len(names) // gpus
    if not count or count * gpus > len(names):
        raise ConfigError(
            f"CUDA sees {counted(len(names), 'GPU')}, too few for {counted(max(count, 1), 'job')} with"
            f" {counted(gpus, 'GPU')} each:"
            " lower --slots or --gpus-per-job, or leave them out."
        )
    return Slots(count=count, gpus=names, processes=gpus, threads=max(1, cores() // (count * gpus)))


def _visible_gpus() -> tuple[str, ...]:
    """Return the GPUs that this process sees, by the names that CUDA_VISIBLE_DEVICES takes."""
    import torch

    number = torch.cuda.device_count()
    named = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return tuple(named[:number]) if named else tuple(map(str, range(number)))
