"""A short training of any component, on 24 generated images with labels and captions."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from attrs import frozen
from torch import Tensor

from nanogen_core.config import Resolved, resolve
from nanogen_core.errors import ConfigWarning, NanoGenError
from nanogen_core.pipeline import Pipeline, build_pipeline
from nanogen_core.registry import register, registry
from nanogen_data.testing import fakes_plugin
from nanogen_train.trainer.loop import Run

#: Task -> its conditioner.
TASKS = {"imagenet": "label", "t2i": "tiny-texts"}
PARTS = {
    "dataset": "tiny-dataset",
    "tokenizer": "tiny-tokenizer",
    "backbone": "tiny-backbone",
    "objective": "tiny-objective",
    "sampler": {"name": "euler", "steps": 2},
    "stage": {"name": "diffusion", "ema_decay": 0.5},
    "optimizer": {"name": "adamw", "lr": 1e-2},
    "schedule": "constant",
}
TRAIN = {
    "batch_size": 8,
    "precision": "fp32",
    "log_every": 1,
    "sample_every": 0,
    "sample_count": 2,
    "checkpoint_every": 0,
    "trackers": [],
}


@frozen
class Trained:
    """Result of a short training.

    Args:
        pipeline: The trained pipeline, loaded from the folder.
        losses: Loss of each logged step. `small_config` logs every step.
        samples: Two samples [2, 3, H, W] in [-1, 1]; empty [0] if the pipeline has no backbone.
    """

    pipeline: Pipeline
    losses: list[float]
    samples: Tensor


def small_config(task: str, method: str | None = None) -> dict[str, Any]:
    """Return a configuration for a task, with small parts that need no pretrained weights.

    If `method` is given, the configuration omits the keys that the method sets, except `train`.
    The images are coloured squares of 32 x 32 pixels with labels and captions (`nanogen_data.testing.fakes`).
    """
    register_small_parts()
    conditioner = {"conditioner": TASKS[task]} if task in TASKS else {}
    parts = {"task": task, "image_size": 32, **PARTS, **conditioner, "train": dict(TRAIN)}
    if method is None:
        return parts
    found = registry().method(method).what
    filled = {*found.defaults, *found.per_task.get(task, {})} - {"train"}
    return {"method": method, **{key: value for key, value in parts.items() if key not in filled}}


def register_small_parts() -> None:
    """Register the small parts (`nanogen_data.testing.fakes`), once."""
    if "tiny-objective" not in registry().components["objective"]:
        register(fakes_plugin)


def small_resolved(task: str, settings: Mapping[str, Any], *over: Mapping[str, Any]) -> Resolved:
    """Resolve the small configuration, overridden by `settings`, then by each mapping of `over`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConfigWarning)  # about options of the small parts that were replaced
        return resolve(small_config(task, settings.get("method")), settings, *over)


def small_pipeline(task: str, **settings: Any) -> Pipeline:
    """Build a pipeline of small parts: `small_pipeline("imagenet", objective="my-objective")`.

    Args:
        task: Name of the task, such as "imagenet" or "t2i".
        settings: Configuration keys that override `small_config`.
    """
    return build_pipeline(small_resolved(task, settings))


def short_training(task: str, folder: Path, *, steps: int = 30, **settings: Any) -> Trained:
    """Train small parts for a few steps, load the saved pipeline and sample from it.

    Example: `short_training("t2i", tmp_path, objective="my-objective").losses`. The small backbone has one block,
    whose output is the intermediate `block.1`. Settings replace parts, such as
    `backbone={"name": "lightning-dit", "size": "tiny"}`.

    Args:
        task: Name of the task, such as "imagenet" or "t2i".
        folder: Folder for the run.
        steps: Number of training steps.
        settings: Configuration keys that override `small_config`.

    Raises:
        NanoGenError: The configuration is wrong, the training fails, or the saved pipeline gives other samples
            than the trained one.
    """
    return train_resolved(small_resolved(task, settings, {"train": {"steps": steps}}), folder)


def train_resolved(resolved: Resolved, folder: Path) -> Trained:
    """Train a configuration, load the saved pipeline and sample from it. Raises the errors of `short_training`."""
    losses: list[float] = []
    run = Run(build_pipeline(resolved), folder, report=lambda step, scalars: losses.append(scalars["loss"]))
    finished = run.train()
    loaded = Pipeline.load(folder, **resolved.objects())
    if loaded.backbone is None:  # a stage that trains another part
        return Trained(loaded, losses, torch.empty(0))
    requests = loaded.task.eval_batch(2)
    samples = loaded.sample(requests)
    if not samples.equal(finished.sample(requests)):
        raise NanoGenError(
            "The saved pipeline gives other samples than the trained one. Check that the stage's `weights` returns all"
            " trained parts."
        )
    return Trained(loaded, losses, samples)
