"""Shared parts of the measurements: small pipelines, runs, batches, and the plain network."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.plain.embeddings import Label
from benchmarks.plain.loops import PlainLoop
from benchmarks.plain.networks import PlainDiT, Sizes
from nanogen_core.pipeline import Pipeline, build_pipeline
from nanogen_core.tensors import Batch
from nanogen_dit.published import export_published
from nanogen_train.trainer.loop import Run

BATCH, CLASSES = 64, 64
CHANNELS, SIDE, PATCH = 8, 8, 2  # shape of the drawings' latents
LR, TIME_MEAN = 1e-4, 0.5


def pipeline(size: str, *, method: str = "vae", **options: Any) -> Pipeline:
    """Build a class-conditional pipeline on the drawings' latents."""
    objective = {"vae": "flow"}.get(method, method)
    config = {
        "task": "imagenet",
        "method": method,
        "dataset": "openmoji",
        "tokenizer": "openmoji-vae",
        "backbone": {"name": "lightning-dit", "size": size},
        "objective": {"name": objective, "shift": 1.0, "time_mean": TIME_MEAN},
        "optimizer": {"name": "adamw", "lr": LR},
        "schedule": "constant",
    }
    return build_pipeline(config, **options)


def run(model: Pipeline) -> Run:
    """Return a run of a pipeline in a temporary folder."""
    return Run(model, Path(tempfile.mkdtemp(prefix="nanogen-speed-")))


def settings(**train: Any) -> dict[str, Any]:
    """Return the `train` section of a run without logs and samples."""
    quiet = {"steps": 1_000_000, "log_every": 1_000_000, "sample_every": 0, "checkpoint_every": 0}
    return {"batch_size": BATCH, "precision": "fp32", **quiet, **train}


def batch(seed: int = 0) -> Batch:
    """Return latents and labels as from a cache."""
    generator = torch.Generator().manual_seed(seed)
    latents = torch.randn(BATCH, CHANNELS, SIDE, SIDE, generator=generator)
    labels = torch.randint(CLASSES, (BATCH,), generator=generator)
    return Batch(torch.arange(BATCH), labels=labels, latents=latents)


def plain_loop(model: Pipeline, given: Batch) -> PlainLoop:
    """Return the plain loop with the same weights, latents and labels."""
    return PlainLoop(plain_net(model), _tensor(given.latents), _tensor(given.labels), lr=LR, time_mean=TIME_MEAN)


def plain_net(model: Pipeline) -> PlainDiT:
    net: Any = model.backbone
    trunk = net.encoder.trunk
    shape = {"channels": CHANNELS, "side": SIDE, "patch": PATCH}
    sizes = Sizes(**shape, width=trunk.hidden, depth=trunk.depth, heads=trunk.heads)
    found = PlainDiT(sizes, Label(CLASSES, trunk.hidden))
    found.load_state_dict(export_published(net, tables=False))
    return found


def _tensor(value: Tensor | None) -> Tensor:
    assert value is not None
    return value
