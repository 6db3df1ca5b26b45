"""The auxiliary losses in training runs: training, resuming, cached teacher features."""

from __future__ import annotations

import pytest
import torch

from nanogen_core import Pipeline, build_pipeline
from nanogen_files import storage
from nanogen_train.checkpoint import checkpoint
from nanogen_train.logging import metrics_log
from nanogen_train.trainer.loop import Run

TEACHER = {"name": "tiny-vision", "patch": 8}
ALL = {"repa": {"teacher": TEACHER, "block": 2}, "irepa": {"teacher": TEACHER, "block": 1}, "reg": {"teacher": TEACHER}}


def run(config, folder, **options):
    return Run(build_pipeline(config), folder, **options)


@pytest.fixture
def aligned(small):
    return {**small, "auxiliary": ALL}


def test_all_three_train_together_and_the_pipeline_needs_no_projector(aligned, tmp_path):
    run(aligned, tmp_path).train()
    entries = metrics_log.read(tmp_path)
    assert {"flow", "cls_token", "repa", "repa.distance", "irepa", "reg"} <= entries[0].keys()
    assert entries[-1]["repa.distance"] < entries[0]["repa.distance"]
    assert entries[0]["loss"] == pytest.approx(
        entries[0]["flow"] + 0.03 * entries[0]["cls_token"] + entries[0]["repa"] + entries[0]["irepa"], rel=1e-4
    )
    nets = checkpoint.load(tmp_path, 4)[0]["nets"]
    assert {"repa.weight", "irepa.convolution.weight"} <= nets.keys()
    saved = storage.read_tensors(tmp_path / "backbone.safetensors")
    assert not [name for name in saved if "repa" in name]
    assert Pipeline.load(tmp_path).generate([1], tensors=True).shape == (1, 3, 16, 16)


def test_a_resumed_run_ends_as_one_that_never_stopped(aligned, tmp_path):
    run(aligned, tmp_path / "whole").train()
    run(aligned, tmp_path / "parts").train()
    import shutil

    shutil.rmtree(checkpoint.path_of(tmp_path / "parts", 4))
    run(aligned, tmp_path / "parts", resume=True).train()
    whole, parts = (checkpoint.load(tmp_path / name, 4)[0] for name in ("whole", "parts"))
    for part in whole:
        assert all(torch.equal(whole[part][name], parts[part][name]) for name in whole[part])


def test_teacher_features_are_cached_with_the_latents(aligned, tmp_path):
    aligned["optimizer"]["eps"] = 1e-4  # otherwise Adam takes full steps for gradients that are rounding errors
    run(aligned, tmp_path / "images").train()
    aligned["train"]["cache_latents"] = True
    cached = run(aligned, tmp_path / "cached")
    teacher = cached.stage.auxiliaries["repa"].teacher.encoder
    calls = teacher.calls
    cached.train()
    assert teacher.calls == calls + 1  # the split is one batch, and three losses share the teacher
    first, second = (checkpoint.load(tmp_path / name, 4)[0]["nets"] for name in ("images", "cached"))
    for name in first:
        torch.testing.assert_close(first[name], second[name], rtol=1e-3, atol=1e-5)
    losses = [[entry["loss"] for entry in metrics_log.read(tmp_path / name)] for name in ("images", "cached")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_the_other_task_differs_in_one_line(aligned, tmp_path):
    aligned |= {"task": "t2i", "conditioner": "text"}
    aligned["auxiliary"] = {"repa": ALL["repa"], "reg": ALL["reg"]}
    aligned["train"]["steps"] = 1
    run(aligned, tmp_path).train()
    assert metrics_log.read(tmp_path)[0]["repa"] > 0


def test_the_losses_end_after_their_steps_and_the_teacher_rests(aligned, tmp_path):
    for name in ("repa", "irepa"):
        aligned["auxiliary"] = {**aligned["auxiliary"], name: {**ALL[name], "until": 2}}
    del aligned["auxiliary"]["reg"]
    training = run(aligned, tmp_path / "until")
    teacher = training.stage.auxiliaries["repa"].teacher.encoder
    calls = teacher.calls
    training.train()
    assert teacher.calls == calls + 2  # one for each of the first two steps
    entries = metrics_log.read(tmp_path / "until")
    assert all({"repa", "irepa"} <= entry.keys() for entry in entries[:2])
    assert not any({"repa", "irepa"} & entry.keys() for entry in entries[2:])
    assert entries[3]["loss"] == pytest.approx(entries[3]["flow"])
    before, after = (checkpoint.load(tmp_path / "until", step)[0]["nets"] for step in (2, 4))
    assert not torch.equal(
        before["student.encoder.blocks.0.attention.qkv.weight"], after["student.encoder.blocks.0.attention.qkv.weight"]
    )


def test_the_first_steps_are_those_without_an_end_and_none_is_no_alignment(aligned, tmp_path):
    aligned["auxiliary"] = {"repa": ALL["repa"]}
    run(aligned, tmp_path / "always").train()
    for until, name in ((2, "until"), (0, "never")):
        aligned["auxiliary"] = {"repa": {**ALL["repa"], "until": until}}
        run(aligned, tmp_path / name).train()
    aligned["auxiliary"] = {}
    run(aligned, tmp_path / "without").train()
    losses = {
        name: [entry["flow"] for entry in metrics_log.read(tmp_path / name)]
        for name in ("always", "until", "never", "without")
    }
    assert losses["until"][:3] == losses["always"][:3]  # the third step starts from the same weights
    assert losses["until"][3] != losses["always"][3]
    assert losses["never"] == pytest.approx(losses["without"], rel=1e-6)
