"""The networks at 256 px, on latents that lie ready, without any data."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch
from attrs import frozen

from benchmarks.speed.plain import PlainDiT, PlainLoop
from nanogen_core.assembly import Assembly
from nanogen_core.config import resolve
from nanogen_core.pipeline import Pipeline
from nanogen_core.tensors import Batch
from nanogen_train.trainer.loop import Run

CLASSES = 1000
LR = 1e-4


@frozen(kw_only=True)
class Model:
    """One row: a backbone and a method, with as many images a step as its memory is to hold."""

    name: str
    backbone: dict[str, Any]
    batch_size: int
    method: str = "vae"
    plain: bool = False  # whether the plain loop has this network
    compile: bool = True


MODELS = (
    Model(name="LightningDiT-B", backbone={"name": "lightning-dit", "size": "B"}, batch_size=128, plain=True),
    Model(name="LightningDiT-XL", backbone={"name": "lightning-dit", "size": "XL"}, batch_size=32, plain=True),
    Model(name="DDT-XL", backbone={"name": "ddt", "size": "XL"}, batch_size=32),
    Model(
        name="MeanFlow, LightningDiT-B",
        backbone={"name": "lightning-dit", "size": "B"},
        batch_size=64,
        method="meanflow",
        compile=False,
    ),
)
SMALL = tuple(  # what a CPU can do, to try the script
    Model(name=f"tiny, {method}", backbone={"name": "lightning-dit", "size": "tiny"}, batch_size=4, method=method,
          plain=method == "vae", compile=False)
    for method in ("vae", "meanflow")
)  # fmt: skip


def run_of(model: Model, *, compiled: bool, precision: str) -> Run:
    """A run of the model on SD-VAE latents, that takes steps from batches which are handed to it."""
    train = {
        "batch_size": model.batch_size,
        "precision": precision,
        "compile": compiled,
        "steps": 1_000_000,
        "log_every": 1_000_000,
        "sample_every": 0,
        "checkpoint_every": 0,
    }
    config = {
        "task": "imagenet",
        "method": model.method,
        "backbone": model.backbone,
        "optimizer": {"name": "adamw", "lr": LR},
        "schedule": "constant",
        "train": train,
    }
    resolved = resolve(config)
    torch.manual_seed(0)
    names = tuple(f"class {number}" for number in range(CLASSES))
    pipeline = Pipeline(resolved, Assembly(resolved, {"classes": names}))
    return Run(pipeline, Path(tempfile.mkdtemp(prefix="nanogen-gpu-")))


def batch_of(model: Model, run: Run) -> Batch:
    """Latents and labels on the run's device."""
    shape = (model.batch_size, *run.pipeline.latent.shape)
    latents = torch.randn(shape, device=run.engine.device)
    labels = torch.randint(CLASSES, (model.batch_size,), device=run.engine.device)
    return Batch(torch.arange(model.batch_size), labels=labels, latents=latents)


def plain_of(run: Run, given: Batch) -> PlainLoop:
    """The plain loop with a network of the same sizes on the same latents, in float32 with TF32 where there is some."""
    assert given.latents is not None
    assert given.labels is not None
    net: Any = run.pipeline.backbone
    trunk, latent = net.encoder.trunk, run.pipeline.latent
    plain = PlainDiT(
        channels=latent.channels,
        side=latent.height,
        patch=latent.patch_size,
        width=trunk.hidden,
        depth=trunk.depth,
        heads=trunk.heads,
        classes=CLASSES,
    )
    return PlainLoop(plain.to(run.engine.device), given.latents, given.labels, lr=LR, time_mean=0.0)
