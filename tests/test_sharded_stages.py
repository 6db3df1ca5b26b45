"""Stages with several optimizers on two processes that shard their networks, and the evaluation of sharded averages.

Two processes carry out every training. The same trainings on one process, and on two with DDP, are the reference.
"""

from __future__ import annotations

import json
from copy import deepcopy
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from nanogen_core import Pipeline, build_pipeline
from nanogen_files import storage
from nanogen_rae.decoder_files import OUTPUT_MARK
from nanogen_train.checkpoint import checkpoint
from nanogen_train.logging import metrics_log
from nanogen_train.trainer.loop import Run
from tests.processes import forked, scenarios
from tests.processes.shared import filled_once

STEPS, SAVED = 4, 3
TRAIN: dict[str, Any] = {
    "steps": STEPS, "batch_size": 4, "precision": "fp32", "log_every": 1, "sample_count": 4, "checkpoint_every": SAVED,
    "trackers": [],
}  # fmt: skip
#: The decoder moves from step 0, the discriminator from step 1. A sheet is drawn after each step, with no checkpoint
#: between the first two.
RAE: dict[str, Any] = {
    "task": "imagenet", "image_size": 64, "dataset": {"name": "openmoji", "train": 32, "val": 4},
    "tokenizer": {"name": "rae", "encoder": "openmoji-classifier", "decoder": {"size": "tiny"}},
    "stage": {"name": "rae-decoder", "perceptual": "encoder", "discriminator": "encoder", "ema_decay": 0.5,
              "discriminator_from": 0.25, "adversarial_from": 0.9},
    "optimizer": {"name": "adamw", "lr": 1e-2, "eps": 1e-3}, "train": {**TRAIN, "sample_every": 1},
}  # fmt: skip
REPAE: dict[str, Any] = {
    "method": "repa-e", "task": "imagenet", "image_size": 16,
    "dataset": {"name": "openmoji", "train": 32, "val": 16},
    "tokenizer": {"name": "batch-norm-vae", "vae": "openmoji-vae"},
    "backbone": {"name": "lightning-dit", "hidden": 32, "depth": 2, "heads": 2, "init": "xavier"},
    "objective": {"name": "flow", "shift": 1.0}, "sampler": {"name": "euler", "steps": 2},
    "auxiliary": {"repa": {"teacher": "openmoji-classifier", "block": 1, "mlp_width": 32}},
    "stage": {"name": "repa-e", "perceptual": "none", "ema_decay": 0.5},
    "optimizer": {"name": "adamw", "lr": 1e-3, "eps": 1e-3},
    "train": {**TRAIN, "sample_every": 0,
              "evaluate": {"every": 2, "metrics": ["openmoji-accuracy"], "count": 16, "best": "accuracy"}},
}  # fmt: skip
ALONE = {"rae": RAE, "repa-e": REPAE}


def changed(config: dict[str, Any], train: dict[str, Any], **stage: Any) -> dict[str, Any]:
    found = deepcopy(config)
    found["train"].update(train)
    found["stage"].update(stage)
    return found


FSDP = {"strategy": "fsdp"}
#: The weight of the adversarial loss is that of a process's micro-batch, so one process differs from two.
GAN, PARTS = {"adversarial_from": 0.5}, {"grad_accum_steps": 2, "sample_every": 0}
TOGETHER = {
    "rae-fsdp": changed(RAE, FSDP),
    "rae-step": changed(RAE, {**FSDP, "shard_by": "step", "sample_every": 0}),
    "gan-ddp": changed(RAE, PARTS, **GAN),
    "gan-fsdp": changed(RAE, {**FSDP, **PARTS}, **GAN),
    "gan-resumed": changed(RAE, {**FSDP, **PARTS}, **GAN),
    "gan-bf16": changed(RAE, {**FSDP, **PARTS, "precision": "bf16"}, **GAN),
    "repa-e-fsdp": changed(REPAE, FSDP),
    "repa-e-resumed": changed(REPAE, FSDP),
    "repa-e-unscored": changed(REPAE, {**FSDP, "evaluate": None}),
    "repa-e-bf16": changed(REPAE, {**FSDP, "precision": "bf16", "steps": 2}),
}
SAME = [("rae", "rae-fsdp"), ("rae", "rae-step"), ("gan-ddp", "gan-fsdp"), ("repa-e", "repa-e-fsdp")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of all trainings."""
    return filled_once(tmp_path_factory, "stages", launch)


def launch(folder: Path) -> None:
    """Carry out all trainings in a folder."""
    for name, config in ALONE.items():
        Run(build_pipeline(config), folder / name).train()
    plan: list[dict[str, Any]] = [
        {"name": name, "config": config, "folder": str(folder / name)} for name, config in TOGETHER.items()
    ]
    for scenario in plan:
        if scenario["name"].endswith("-resumed"):
            scenario["killed"] = str(folder / scenario["name"].replace("resumed", "fsdp"))
    (folder / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
    forked.together(scenarios.main, str(folder / "plan.json"), str(folder / "answers.json"), CUDA_VISIBLE_DEVICES="")


def state(run: Path) -> dict[str, torch.Tensor]:
    states = checkpoint.load(run, checkpoint.newest(run))[0]
    return {f"{part}/{name}": tensor for part, tensors in states.items() for name, tensor in tensors.items()}


def curve(run: Path, name: str) -> list[float]:
    return [entry[name] for entry in metrics_log.read(run) if name in entry]


@pytest.mark.parametrize(("reference", "sharded"), SAME)
def test_sharded_networks_train_as_whole_ones(folder: Path, reference: str, sharded: str) -> None:
    """Networks, their averages, and the moments of each optimizer."""
    second = {"rae": "discriminator", "gan": "discriminator", "repa": "student"}[sharded.split("-")[0]]
    for name in ("loss", f"loss.{second}"):
        assert curve(folder / sharded, name) == pytest.approx(curve(folder / reference, name), abs=1e-5)
    expected, found = state(folder / reference), state(folder / sharded)
    assert found.keys() == expected.keys()
    assert sum(name.startswith("optimizer-") for name in {name.split("/")[0] for name in found}) == 2
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-4, atol=1e-5, msg=lambda text, n=name: f"{n}: {text}")


def test_each_process_holds_half_of_every_network(folder: Path) -> None:
    answers = json.loads((folder / "answers.json").read_text(encoding="utf-8"))
    assert answers["gan-fsdp"]["share"] == pytest.approx(answers["gan-ddp"]["share"] / 2, rel=0.05)


def test_the_adversarial_loss_was_part_of_it(folder: Path) -> None:
    assert len(curve(folder / "gan-fsdp", "weight")) == 2
    assert min(curve(folder / "gan-fsdp", "weight")) > 0


@pytest.mark.parametrize("name", ["gan", "repa-e"])
def test_a_resumed_run_is_the_uninterrupted_one_bit_for_bit(folder: Path, name: str) -> None:
    whole, resumed = state(folder / f"{name}-fsdp"), state(folder / f"{name}-resumed")
    assert whole.keys() == resumed.keys()
    assert [key for key, tensor in whole.items() if not torch.equal(tensor, resumed[key])] == []


def test_the_sheets_show_the_averages_of_their_step(folder: Path) -> None:
    """Weights that were gathered for one sheet are not used again for the next one."""
    sharded, alone = ([sheet(folder / name, step) for step in range(1, STEPS + 1)] for name in ("rae-fsdp", "rae"))
    assert [np.abs(a - b).max() <= 1 for a, b in zip(sharded, alone, strict=True)] == [True] * STEPS
    assert [np.abs(a - b).max() > 1 for a, b in pairwise(alone)] == [True] * (STEPS - 1)


def sheet(run: Path, step: int) -> np.ndarray:
    return np.asarray(Image.open(run / "samples" / f"step-{step:08d}.png"), int)


def test_saved_pipelines_load_in_one_process(folder: Path) -> None:
    loaded, alone = (Pipeline.load(folder / name) for name in ("repa-e-fsdp", "repa-e"))
    images = [pipeline.generate([1, 2], tensors=True) for pipeline in (loaded, alone)]
    torch.testing.assert_close(*images, rtol=1e-3, atol=1e-4)
    decoders = [storage.read_tensors(folder / name / "decoder.safetensors") for name in ("rae-fsdp", "rae")]
    assert decoders[0].keys() == decoders[1].keys() > {OUTPUT_MARK}
    for name, tensor in decoders[1].items():
        torch.testing.assert_close(decoders[0][name], tensor, rtol=1e-4, atol=1e-5)


def test_sharded_averages_have_the_scores_of_one_process(folder: Path) -> None:
    scores = curve(folder / "repa-e", "score.accuracy")
    assert len(scores) == 2
    assert curve(folder / "repa-e-fsdp", "score.accuracy") == scores
    best = [storage.read_json(folder / name / "best" / "selection.json") for name in ("repa-e", "repa-e-fsdp")]
    assert best[0] == best[1]
    assert Pipeline.load(folder / "repa-e-fsdp" / "best").generate([1], tensors=True).isfinite().all()


def test_the_evaluation_of_sharded_averages_changes_no_bit(folder: Path) -> None:
    scored, unscored = state(folder / "repa-e-fsdp"), state(folder / "repa-e-unscored")
    assert scored.keys() == unscored.keys()
    assert [key for key, tensor in scored.items() if not torch.equal(tensor, unscored[key])] == []


@pytest.mark.parametrize(
    ("name", "exact", "second"), [("repa-e-bf16", "repa-e", "student"), ("gan-bf16", "gan-fsdp", "discriminator")]
)
def test_sharded_stages_compute_in_bf16_and_keep_float32(folder: Path, name: str, exact: str, second: str) -> None:
    """The tokenizer of REPA-E is called in the loss, and before it without autocast."""
    for figure in ("loss", f"loss.{second}"):
        losses, expected = curve(folder / name, figure), curve(folder / exact, figure)
        assert losses == pytest.approx(expected[: len(losses)], rel=0.02)
        assert losses != pytest.approx(expected[: len(losses)], abs=1e-6)
    tensors = state(folder / name).values()
    assert {tensor.dtype for tensor in tensors if tensor.is_floating_point()} == {torch.float32}
