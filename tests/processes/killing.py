"""Kills trainings with SIGKILL at random moments, and compares their ends with one that nobody killed.

`killing.py FOLDER --kills 20 --seed 0 --processes 2 --workers 1 --data tars`

The trainings are forked from this process, which has imported everything, so that a life begins within milliseconds;
with `--command-line` they are `python -m nanogen_core train`, as a person starts them. Prints a line for each kill and
the seed that repeats the moments; the exit status is 1 where an end differs.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import Any

import torch
import torch.utils.tensorboard
from PIL import Image

from nanogen_core import build_pipeline
from nanogen_train.checkpoint import checkpoint
from nanogen_train.logging import metrics_log
from nanogen_train.trainer.loop import Run

torch.set_num_threads(1)

EXAMPLES, STEPS = 22, 24  # an epoch is 22 / 8 steps: it ends in the middle of a batch
NEVER_KILLED = "whole"

Life = Callable[[Path, bool], list[int]]  # (folder, whether it goes on) -> its processes


# -- what is trained -------------------------------------------------------------------------------------------------


def picture(number: int) -> bytes:
    """A PNG that is not square, so that it is cropped, and not like its mirror image."""
    image, data = Image.new("RGB", (20, 24), (number * 9 % 256, number * 31 % 256, 90)), BytesIO()
    image.paste((255, 255, 255), (number % 10, number % 12, number % 10 + 6, number % 12 + 4))
    image.save(data, "PNG")
    return data.getvalue()


def folders(root: Path) -> dict[str, Any]:
    """Class folders."""
    for split in ("train", "val"):
        for number in range(EXAMPLES):
            path = root / split / f"class{number % 3}" / f"{number:03d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(picture(number))
    task = {"name": "imagenet", "flip": True}  # so that a resumed run must draw the same flips
    return {"task": task, "dataset": {"name": "imagenet-folder", "root": str(root)}}


def tars(root: Path) -> dict[str, Any]:
    """Webdataset tars of unequal length, with captions."""
    import webdataset

    for split in ("train", "val"):
        (root / split).mkdir(parents=True, exist_ok=True)
        for shard, numbers in enumerate((range(9), range(9, EXAMPLES))):
            with webdataset.TarWriter(str(root / split / f"{shard:05d}.tar")) as tar:
                for number in numbers:
                    tar.write({"__key__": f"{number:05d}", "png": picture(number), "txt": f"a star {number}"})
    return {"task": "t2i", "dataset": {"name": "webdataset", "root": str(root)}, "encoder": "minilm"}


DATA = {"folders": folders, "tars": tars}


def configuration(data: dict[str, Any], workers: int, train: dict[str, Any]) -> dict[str, Any]:
    return {
        **data,
        "image_size": 16,
        "tokenizer": "openmoji-vae",
        "backbone": {"name": "lightning-dit", "hidden": 16, "depth": 1, "heads": 1},
        "objective": "flow",
        "sampler": {"name": "euler", "steps": 1},
        "stage": {"name": "diffusion", "ema_decay": 0.9},
        "optimizer": {"name": "adamw", "lr": 1e-3},
        "train": {"steps": STEPS, "batch_size": 8, "precision": "fp32", "num_workers": workers, "log_every": 5,
                  "sample_every": 4, "sample_count": 4, "checkpoint_every": 2, "keep_last": 2, "keep_every": 6,
                  **train},
    }  # fmt: skip


# -- how it lives ----------------------------------------------------------------------------------------------------


def forked(config: dict[str, Any], processes: int) -> Life:
    """Lives as forks of this process."""

    def life(folder: Path, goes_on: bool) -> list[int]:
        port = free_port()
        return [fork(config, folder, goes_on, rank, processes, port) for rank in range(processes)]

    return life


def fork(config: dict[str, Any], folder: Path, goes_on: bool, rank: int, world: int, port: int) -> int:
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        os.setpgid(0, 0)
        if world > 1:
            place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "LOCAL_WORLD_SIZE": world}
            os.environ.update({name: str(value) for name, value in place.items()})
            os.environ.update({"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)})
        Run(build_pipeline(config), folder, resume=goes_on, overwrite=not goes_on).train()
        status = 0
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
    finally:
        os._exit(status)


def commanded(config: dict[str, Any], processes: int, file: Path) -> Life:
    """Lives as command lines, started by torchrun where there are several processes."""
    file.write_text(json.dumps(config))
    launcher = ["torch.distributed.run", "--standalone", "--nproc-per-node", str(processes), "-m"]
    words = [sys.executable, "-m", *(launcher if processes > 1 else []), "nanogen_core", "train", str(file)]

    def life(folder: Path, goes_on: bool) -> list[int]:
        options = ["--output", str(folder), "--resume" if goes_on else "--overwrite"]
        quiet = subprocess.DEVNULL
        return [subprocess.Popen([*words, *options], start_new_session=True, stdout=quiet, stderr=quiet).pid]

    return life


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def lived(pids: Sequence[int], seconds: float | None) -> bool:
    """Whether all processes ended well within these seconds; those that did not are killed."""
    end, left = time.monotonic() + (seconds or 3600), set(pids)
    while left and time.monotonic() < end:
        left -= {pid for pid in left if ended_well(pid)}
        time.sleep(0.002)
    kill(left)
    for pid in left:
        os.waitpid(pid, 0)
    return not left


def ended_well(pid: int) -> bool:
    done, status = os.waitpid(pid, os.WNOHANG)
    assert status == 0, f"a training that nobody killed ended with status {status}"
    return bool(done)


def kill(pids: Iterable[int]) -> None:
    """SIGKILL to every process and its children (the readers of the data, what a launcher started), with no warning."""
    for victim in [victim for pid in pids for victim in (pid, *descendants(pid))]:
        with suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)


def descendants(pid: int) -> list[int]:
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True).stdout.split()
    return [found for child in map(int, listed) for found in (child, *descendants(child))]


# -- the test --------------------------------------------------------------------------------------------------------


def torture(life: Life, folder: Path, kills: int, draw: random.Random) -> None:
    """Kills `kills` lives, trainings anew where one is finished, and raises AssertionError where an end differs."""
    begun = time.monotonic()
    assert lived(life(folder / NEVER_KILLED, False), None)
    span, wanted = time.monotonic() - begun, end_of(folder / NEVER_KILLED)
    dead = 0
    for number in count():
        run, before, begun = folder / f"killed-{number}", dead, time.monotonic()
        while not lived(life(run, bool(checkpoint.steps_in(run))), draw.uniform(0, span) if dead < kills else None):
            dead += 1
            print(f"killed {dead}: {run.name}, checkpoints {checkpoint.steps_in(run)}", flush=True)
        compare(end_of(run), wanted, run)
        print(f"{run.name} died {dead - before} times and ended as {NEVER_KILLED} did", flush=True)
        if dead >= kills:
            return
        if dead == before:  # it was quicker than the first one, which had more to import
            span = min(span, time.monotonic() - begun)


def end_of(run: Path) -> dict[str, Any]:
    """All that must be the same: tensors of every kept checkpoint, the log but for its clocks, the samples, the files
    of the pipeline, and which files there are."""
    steps = checkpoint.steps_in(run)
    tensors = {
        f"{step}/{part}/{name}": tensor
        for step in steps
        for part, found in checkpoint.load(run, step)[0].items()
        for name, tensor in found.items()
    }
    log = [{k: v for k, v in entry.items() if k not in metrics_log.CLOCKS} for entry in metrics_log.read(run)]
    files = {file.name: file.read_bytes() for file in sorted(run.glob("*.safetensors"))}
    sheets = {file.name: file.read_bytes() for file in sorted((run / "samples").iterdir())}
    names = sorted(str(file.relative_to(run)) for file in run.rglob("*") if "tensorboard" not in file.parts)
    return {"tensors": tensors, "log": log, "files": files, "samples": sheets, "names": names}


def compare(found: dict[str, Any], wanted: dict[str, Any], run: Path) -> None:
    for kind in ("names", "log", "files", "samples"):
        assert found[kind] == wanted[kind], f"{run}: other {kind}"
    lines = Counter(entry["step"] for entry in found["log"])
    assert set(lines.values()) == {1}, f"{run}: steps are logged {lines} times"
    assert found["tensors"].keys() == wanted["tensors"].keys(), f"{run}: other tensors"
    for name, tensor in wanted["tensors"].items():
        assert torch.equal(found["tensors"][name], tensor), f"{run}: {name} differs"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--data", choices=sorted(DATA), default="folders")
    parser.add_argument("--strategy", choices=("ddp", "fsdp"), default="ddp")
    parser.add_argument("--command-line", action="store_true")
    asked = parser.parse_args()
    seed = random.SystemRandom().randrange(1 << 32) if asked.seed is None else asked.seed
    print(f"seed {seed}", flush=True)
    data = DATA[asked.data](asked.folder / "data")
    config = configuration(data, asked.workers, {"strategy": asked.strategy})
    life = forked(config, asked.processes)
    build_pipeline(config)  # imports what it needs once, for all that are forked
    if asked.command_line:
        life = commanded(config, asked.processes, asked.folder / "run.json")
    torture(life, asked.folder, asked.kills, random.Random(seed))


if __name__ == "__main__":
    main()
