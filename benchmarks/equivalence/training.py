"""One training run of a curve with the parts of the library: pipeline, stage, objective, optimizer, EMA."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import NoReturn

import torch
from torch import Tensor, nn

from benchmarks.equivalence.curve import Curve, read
from nanogen_core import build_pipeline
from nanogen_core.errors import DataError
from nanogen_core.pipeline import Pipeline
from nanogen_core.randomness import KeyedRNG, key
from nanogen_core.specs import LatentSpec
from nanogen_core.tensors import Batch, State
from nanogen_train.optim.optimization import Optimization
from nanogen_train.stages.build import stage_of
from nanogen_train.stages.diffusion import PHASE

#: Validation losses of one seed at the recorded steps: `student` and `average`.
Losses = dict[str, list[float]]


class Latents:
    """Tokenizer whose images are the given latents."""

    def __init__(self, channels: int, side: int):
        self._spec = LatentSpec(channels, side, side)

    def latent(self, image_size: int) -> LatentSpec:
        return self._spec

    def encode(self, images: Tensor) -> Tensor:
        """Return the images, which are latents."""
        return images

    def decode(self, latents: Tensor, rng: KeyedRNG | None = None) -> Tensor:
        """Return the latents as images."""
        return latents


class Labels:
    """Dataset with class names only."""

    provides = frozenset({"labels"})

    def __init__(self, classes: int):
        self.classes = tuple(map(str, range(classes)))

    def open(self, split: str, image_size: int, view: str) -> NoReturn:
        """Raise DataError, because a curve has latents and no images."""
        raise DataError("A training curve has latents and labels, and no images.")


def pipeline_of(curve: Curve, seed: int) -> Pipeline:
    """Build the pipeline of a curve, with the initial weights of a seed."""
    network = curve.network
    parts = {"dataset": Labels(network.classes), "tokenizer": Latents(network.channels, network.side)}
    return build_pipeline(task="imagenet", seed=seed, **parts, **curve.configuration)


def train(curve: Curve, seed: int, *, until: int | None = None) -> Losses:
    """Train with a seed up to step `until` (all by default). Rows are drawn uniformly with replacement."""
    pipeline = pipeline_of(curve, seed)
    stage, settings = stage_of(pipeline), pipeline.config.sections["train"]
    parts = pipeline.parts
    optimization = Optimization(stage, parts["optimizer"], parts["schedule"], settings.gradient_clip)
    recorded = [step for step in curve.steps if until is None or step <= until]
    found: Losses = {"student": [], "average": []}
    for step in range(max(recorded)):
        rows = _rows(len(curve.tensors["labels"]), settings.batch_size, seed, step)
        batch = Batch(rows, labels=curve.tensors["labels"][rows], latents=curve.tensors["latents"][rows])
        stage.loss(PHASE, batch, KeyedRNG(seed, range(settings.batch_size), step=step)).total.backward()
        optimization.update(PHASE, step)
        stage.after_step(step)
        if step + 1 in recorded:
            found["student"].append(validated(pipeline, stage.nets[PHASE], curve))
            found["average"].append(validated(pipeline, stage.nets["ema"], curve))
    return found


@torch.no_grad()
def validated(pipeline: Pipeline, net: nn.Module, curve: Curve) -> float:
    """Return the mean validation loss at the recorded noise, times and labels."""
    given = curve.tensors
    batch = Batch(torch.arange(len(given["val.labels"])), labels=given["val.labels"])
    clean, noise = State(given["val.latents"]), State(given["val.noise"])
    losses: Tensor = pipeline.objective.loss_at(net, clean, noise, given["val.t"], pipeline.conditioner.encode(batch))
    return float(losses.mean())


def train_all(path: Path, seeds: Sequence[int]) -> list[Losses]:
    """Train with each seed, in parallel processes of one thread, one per CPU."""
    workers = min(len(seeds), len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        return list(pool.map(partial(_train_file, path), seeds))


def _train_file(path: Path, seed: int) -> Losses:
    return train(read(path), seed)


def _rows(count: int, size: int, seed: int, step: int) -> Tensor:
    """Draw `size` of `count` rows."""
    return torch.randint(count, (size,), generator=torch.Generator().manual_seed(key(seed, "rows", step)))
