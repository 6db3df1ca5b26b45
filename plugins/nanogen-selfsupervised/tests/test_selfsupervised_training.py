"""The losses in training runs on both tasks: training, resuming, other objectives."""

from __future__ import annotations

import shutil

import pytest
import torch

from nanogen_core import Pipeline, build_pipeline
from nanogen_files import storage
from nanogen_train.checkpoint import checkpoint
from nanogen_train.logging import metrics_log
from nanogen_train.trainer.loop import Run

BOTH = {"dispersive": {}, "sra": {"block": 1, "teacher_block": 3}}


def train(config, folder, **options):
    return Run(build_pipeline(config), folder, **options).train()


@pytest.mark.parametrize("task", ["imagenet", "t2i"])
@pytest.mark.parametrize(
    "parts",
    [{"auxiliary": BOTH}, {"objective": "contrastive-flow"}],
    ids=["dispersive and sra", "contrastive-flow"],
)
def test_they_train_on_both_tasks(small, tmp_path, task, parts):
    trained = train({**small, **parts, "task": task}, tmp_path)
    entries = metrics_log.read(tmp_path)
    if "auxiliary" in parts:
        assert {"flow", "dispersive.dispersion", "sra.distance"} <= entries[0].keys()
        total = entries[0]["flow"] + entries[0]["dispersive"] + entries[0]["sra"]
        assert entries[0]["loss"] == pytest.approx(total, rel=1e-4)
        before, after = (checkpoint.load(tmp_path, step)[0]["nets"]["sra.0.weight"] for step in (2, 4))
        assert not torch.equal(before, after)
    saved = storage.read_tensors(tmp_path / "backbone.safetensors")
    assert not [name for name in saved if "sra" in name]
    assert Pipeline.load(tmp_path).sample(trained.task.eval_batch(2), seed=0).isfinite().all()


def test_a_resumed_run_ends_as_one_that_never_stopped(small, tmp_path):
    config = {**small, "auxiliary": BOTH, "objective": "contrastive-flow"}
    for name in ("whole", "parts"):
        train(config, tmp_path / name)
    shutil.rmtree(checkpoint.path_of(tmp_path / "parts", 4))
    train(config, tmp_path / "parts", resume=True)
    whole, parts = (checkpoint.load(tmp_path / name, 4)[0] for name in ("whole", "parts"))
    assert "sra.0.weight" in whole["nets"]
    for part in whole:
        assert all(torch.equal(whole[part][name], parts[part][name]) for name in whole[part])


def test_self_alignment_trains_with_two_times_and_precomputed_latents(small, tmp_path):
    small["train"] |= {"cache_latents": True, "steps": 2}
    train({**small, "method": "meanflow", "objective": "meanflow", "auxiliary": BOTH}, tmp_path)
    assert metrics_log.read(tmp_path)[-1]["sra.distance"] > 0
