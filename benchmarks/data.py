"""Benchmark of precomputed latents: reading speed, training speed, and memory.

`python -m benchmarks.data` prints the rows as JSON. Each measurement runs in its own process with one thread, so that
its peak memory is separate.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

Row = dict[str, Any]
FAST = 3_000  # samples a second
MANY = 100_000  # latents
STEPS = {"tiny": 20, "sd": 3}
SIZES = {"tiny": 64, "sd": 256}
BATCHES = {"tiny": 64, "sd": 4}
SD_VAE = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
    "latent_channels": 4,
}


def rows(many: int = MANY) -> list[Row]:
    """Return a measurement and its comparison.

    `ratio` is ours to other (more is better); `peak_rss` of ours is in MB.
    """
    with tempfile.TemporaryDirectory() as folder:
        return [
            _against(_measured("read", folder, 4_000, 32), "latent shards, one process", FAST),
            *(_trained(kind, folder) for kind in ("tiny", "sd")),
            _memory("read", "reading", folder, 1_000, many),
            _memory("prepare", "preparing", folder, 1_000, many // 20),
        ]


def _against(ours: Row, name: str, other: float) -> Row:
    ratio = ours["rate"] / other
    return {
        "name": name, "ours": ours["rate"], "other": other, "unit": "samples/s", "ratio": ratio, "peak_rss": ours["rss"]
    }  # fmt: skip


def _trained(kind: str, folder: str) -> Row:
    """Compare training on cached latents with encoding on the fly, in images per second."""
    pixels, latents = (_measured("train", folder, kind, source) for source in ("pixels", "latents"))
    return _against(latents, f"training from cached latents, {kind} VAE", pixels["rate"])


def _memory(what: str, name: str, folder: str, few: int, many: int) -> Row:
    """Compare the peak memory with many and with few latents. The ratio is few to many; 1 means equal memory."""
    small, large = (_measured(what, folder, count, 8) for count in (few, many))
    return {
        "name": f"{name} {many} latents against {few}, peak memory", "ours": large["rss"], "other": small["rss"],
        "unit": "MB", "ratio": small["rss"] / large["rss"], "peak_rss": large["rss"],
    }  # fmt: skip


def _measured(*words: object) -> Row:
    """Run a measurement in its own process. Returns `rate` in samples per second and `rss` in MB."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    call = [sys.executable, "-m", "benchmarks.data", *map(str, words)]
    ran = subprocess.run(call, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(ran.stdout.splitlines()[-1]))


def _rss() -> float:
    """Return the peak resident size of this process in MB. Linux reports KiB, macOS bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e6 / 1024)


# -- measurements in their own process ---------------------------------------------------------------------------------


def read(folder: str, count: str, side: str) -> Row:
    """Read `count` latents [4, side, side] of both flips once, in shuffled order and batches of 256."""
    from nanogen_data.loader import loader
    from nanogen_data.precomputed import training
    from nanogen_data.precomputed.latents import Latents
    from nanogen_data.precomputed.manifest import read as read_manifest

    home = Path(folder) / f"{count}x{side}"
    if not home.is_dir():
        _run_alone(partial(_write, home, int(count), int(side)))
    batches = loader(Latents(home, read_manifest(home)), 256, transform=training._no_images)
    next(batches)
    start = time.perf_counter()
    seen = sum(len(batch.indices) for batch in islice(batches, int(count) // 256))
    return {"rate": seen / (time.perf_counter() - start), "rss": _rss()}


def _write(home: Path, count: int, side: int) -> None:
    import torch

    from nanogen_data.precomputed.manifest import Manifest
    from nanogen_data.precomputed.members import pack
    from nanogen_data.precomputed.shards import Shard

    home.mkdir()
    size = 1_000
    latents = torch.randn(2, 4, side, side)
    for number in range(-(-count // size)):
        members = range(number * size, min(number * size + size, count))
        Shard(home, number).write((member, pack(latents + member, (), member % 1000, None)) for member in members)
    facts = [Shard(home, number).facts() for number in range(-(-count // size))]
    Manifest(
        identity={}, source={"examples": count}, classes=[], variants=2, dtype="float32", shard_size=size,
        batch_size=32, shards=facts,
    ).write(home)  # fmt: skip


def _run_alone(function: Callable[[], None]) -> None:
    """Run in a forked process, so that its memory is not measured."""
    child = os.fork()
    if not child:
        function()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0


def prepare(folder: str, count: str, side: str) -> Row:
    """Precompute latents of `count` drawings of the smallest size."""
    from nanogen_core.config import resolve
    from nanogen_data.precomputed.prepare import Options
    from nanogen_data.precomputed.prepare import prepare as run

    config = {**_model(int(side)), "dataset": {"name": "openmoji", "train": int(count)}, "tokenizer": "openmoji-vae"}
    start = time.perf_counter()
    run(resolve(config), Path(folder) / f"prepared-{count}", Options())
    return {"rate": int(count) / (time.perf_counter() - start), "rss": _rss()}


def train(folder: str, kind: str, source: str) -> Row:
    """Train a few steps on PNG files, or on their precomputed latents."""
    from nanogen_core import build_pipeline
    from nanogen_core.config import resolve
    from nanogen_data.precomputed.prepare import Options
    from nanogen_data.precomputed.prepare import prepare as run

    config, latents = _folder_config(Path(folder), kind), Path(folder) / f"latents-{kind}"
    if source == "latents":
        _run_alone(lambda: void(run(resolve(config), latents, Options(batch_size=8))))
        config["train"] = {**config["train"], "precomputed_latents": str(latents)}
    steps = _steps(build_pipeline(config), Path(folder) / f"run-{kind}-{source}")
    next(steps)  # reads weights
    start = time.perf_counter()
    seen = sum(islice(steps, STEPS[kind]))
    return {"rate": seen / (time.perf_counter() - start), "rss": _rss()}


def void(_: object) -> None:
    """Discard the value."""


def _steps(pipeline: Any, folder: Path) -> Iterator[int]:
    """Yield the number of images of each training step, without logs, samples and checkpoints."""
    from nanogen_train.trainer.loop import Run

    run = Run(pipeline, folder)
    for batch in run._batches():
        run._one_step(batch)
        yield len(batch.indices)


def _folder_config(folder: Path, kind: str) -> dict[str, Any]:
    images = folder / f"images-{kind}"
    if not images.is_dir():
        _write_images(images, SIZES[kind], 4 * BATCHES[kind])
    tokenizer = "openmoji-vae" if kind == "tiny" else {"name": "vae", "path": str(_sd_vae(folder))}
    train = {"steps": 100, "batch_size": BATCHES[kind], "precision": "auto"}
    dataset = {"name": "imagenet-folder", "root": str(images)}
    return {**_model(SIZES[kind]), "dataset": dataset, "tokenizer": tokenizer, "train": train}


def _model(size: int) -> dict[str, Any]:
    backbone = {"name": "lightning-dit", "hidden": 128, "depth": 6, "heads": 4}  # as in the demo
    task = {"name": "imagenet", "flip": True}  # precomputed latents contain both flips
    return {"task": task, "objective": "flow", "backbone": backbone, "image_size": size}


def _write_images(folder: Path, size: int, count: int) -> None:
    import torch
    from torch.nn.functional import interpolate

    from nanogen_files.images import to_pil

    for place in range(2):
        (folder / "train" / f"class{place}").mkdir(parents=True)
    smooth = interpolate(torch.rand(count, 3, 9, 9), size=size, mode="bicubic").clamp(0, 1) * 2 - 1
    for number, picture in enumerate(to_pil(smooth)):
        picture.save(folder / "train" / f"class{number % 2}" / f"{number}.png")


def _sd_vae(folder: Path) -> Path:
    """Write an AutoencoderKL of the size of Stable Diffusion's, with random weights."""
    home = folder / "sd-vae"
    if not home.is_dir():
        from diffusers import AutoencoderKL

        AutoencoderKL(**SD_VAE).save_pretrained(home)
    return home


if __name__ == "__main__":
    if len(sys.argv) == 1:
        print(json.dumps(rows(), indent=2))
    else:
        measure = {"read": read, "prepare": prepare, "train": train}[sys.argv[1]]
        print(json.dumps(measure(*sys.argv[2:])))
