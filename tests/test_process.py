"""What a process asks of its system: that freed memory stays, and that it leaves its groups in order."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

FAULTS = """
import resource, torch
from nanogen_files import malloc

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.ones(2**24)  # 64 MiB, freed at once
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print(faults(), malloc.keep_freed(), faults(), faults())
"""
GROUPS = """
import os, torch
import torch.distributed as dist
from nanogen_data import process_group

def threads():
    return len(os.listdir("/proc/self/task"))

torch.ones(1000, 1000) @ torch.ones(1000, 1000)  # OpenMP's own have begun
alone = threads()
dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
group = dist.new_group(backend="gloo")
process_group.destroy_at_exit()
process_group.destroy_at_exit()
asked = torch.ones(1)
dist.all_reduce(asked, group=group, async_op=True)
together = threads()
del group
process_group._destroy()
print(alone, together, threads(), dist.is_initialized())
process_group._destroy()  # there is nothing left to leave
"""


def output(script: str, **environment: str) -> list[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    ended = subprocess.run(
        [sys.executable, "-c", script], env={**kept, **environment}, capture_output=True, text=True, check=True
    )
    return ended.stdout.split()


@pytest.mark.skipif(sys.platform != "linux", reason="the settings are those of Linux's C library")
def test_freed_memory_is_found_again() -> None:
    before, kept, first, second = output(FAULTS)
    assert kept == "True"
    assert int(second) < int(before) / 10
    assert int(first) < int(before)


@pytest.mark.skipif(sys.platform != "linux", reason="the settings are those of Linux's C library")
def test_the_user_s_own_settings_of_memory_stand() -> None:
    assert output(FAULTS, MALLOC_ARENA_MAX="2")[1] == "False"


@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted in /proc")
def test_the_threads_of_groups_end_before_the_interpreter() -> None:
    alone, together, after, initialised = output(GROUPS)
    assert int(together) > int(alone)
    assert int(after) == int(alone)
    assert initialised == "False"
