"""Two processes train as one does: losses, gradients, weights, samples, checkpoints; DDP as FSDP2.

Two processes carry out every scenario; the same trainings in this process are what they are compared with.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from PIL import Image

from nanogen_core import Pipeline, build_pipeline
from nanogen_data.loader import EpochOrder
from nanogen_train.checkpoint import checkpoint
from nanogen_train.logging import metrics_log
from nanogen_train.trainer.loop import Run
from tests.processes import forked, scenarios
from tests.processes.shared import filled_once

LONGER = int(os.environ.get("NANOGEN_TORTURE", "1"))  # as many steps: `make torture`
STEPS, HALF = 6 * LONGER, 3 * LONGER
#: Of gradients that are rounding alone (biases of keys) Adam makes whole steps, by the sign of the last digit; Muon's
#: iterations round to bf16. A few steps bear that; over many, nothing else would be compared. So the long form has an
#: Adam that leaves such gradients alone, and a Muon of smaller steps.
EPS, MUON_LR = (1e-8, 1e-3) if LONGER == 1 else (1e-3, 1e-5)
SCRIPT = Path(__file__).parent / "processes" / "scenarios.py"
LAUNCH = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
CONFIG: dict[str, Any] = {
    "task": "imagenet",
    "image_size": 16,
    "dataset": {"name": "openmoji", "train": 32, "val": 16},
    "tokenizer": "openmoji-vae",
    "backbone": {"name": "ddt", "hidden": 16, "depth": 2, "heads": 1,
                 "decoder_hidden": 16, "decoder_depth": 1, "decoder_heads": 1},
    "stage": {"name": "diffusion", "ema_decay": 0.5},
    "optimizer": {"name": "adamw", "lr": 1e-3, "eps": EPS},
    "train": {"steps": STEPS, "batch_size": 8, "precision": "fp32", "log_every": 1, "sample_every": STEPS,
              "sample_count": 5, "checkpoint_every": HALF},
}  # fmt: skip


def flow(**train: Any) -> dict[str, Any]:
    return changed({"objective": "flow", "sampler": {"name": "euler", "steps": 2}}, train)


def meanflow(derivative: str = "exact", **train: Any) -> dict[str, Any]:
    return changed({"method": "meanflow", "objective": {"probability": 0.5, "derivative": derivative}}, train)


def changed(parts: dict[str, Any], train: dict[str, Any]) -> dict[str, Any]:
    config = {**deepcopy(CONFIG), **parts}
    config["train"].update(train)
    return config


ALONE = {
    "flow": flow(),
    "meanflow": meanflow(),
    "forward": meanflow("forward"),
    "muon": {**flow(), "optimizer": {"name": "muon", "lr": MUON_LR, "eps": EPS}},
}
#: name -> (the training alone that it must equal, its configuration, what else is done)
TOGETHER: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "flow-ddp": ("flow", flow(), {"gradients": True}),
    "meanflow-ddp": ("meanflow", meanflow(), {"gradients": True}),
    "flow-fsdp": ("flow", flow(strategy="fsdp"), {}),
    "meanflow-fsdp": ("meanflow", meanflow(strategy="fsdp", shard_by="step"), {}),
    "forward-fsdp": ("forward", meanflow("forward", strategy="fsdp"), {}),
    "muon-fsdp": ("muon", {**ALONE["muon"], "train": flow(strategy="fsdp")["train"]}, {}),
    "parts-ddp": ("flow", flow(grad_accum_steps=2, activation_checkpointing="all"), {}),
    "parts-fsdp": ("flow", flow(grad_accum_steps=2, activation_checkpointing="every_2", strategy="fsdp"), {}),
    "cached-ddp": ("cached", flow(cache_latents=True), {}),
    "one-to-ddp": ("flow", flow(), {"resume": True}),
    "one-to-fsdp": ("flow", flow(strategy="fsdp"), {"resume": True}),
    "bf16-fsdp": ("flow", flow(precision="bf16", strategy="fsdp"), {}),
    "poisoned-ddp": ("flow", flow(), {"poisoned": True}),
    "stopped-ddp": ("flow", flow(), {"stop_after": HALF}),
    "stopped-fsdp": ("flow", flow(strategy="fsdp"), {"stop_after": HALF}),
}  # fmt: skip
EQUAL = [name for name in TOGETHER if not name.startswith(("stopped", "poisoned", "bf16"))]


class Launched:
    """The folder of all trainings, and the answers of the two processes, by name of the training."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.answers: dict[str, Any] = json.loads((folder / "answers.json").read_text())


def launch(folder: Path) -> None:
    """Carry out all trainings in a folder."""
    for name, config in {**ALONE, "cached": flow(cache_latents=True)}.items():
        train(config, folder / name)
    for name in ("one-to-ddp", "one-to-fsdp"):
        half_of(folder / "flow", folder / name)
    plan = [{"name": n, "config": c, "folder": str(folder / n), **o} for n, (_, c, o) in TOGETHER.items()]
    (folder / "plan.json").write_text(json.dumps(plan))
    forked.together(scenarios.main, str(folder / "plan.json"), str(folder / "answers.json"))


def train(config: dict[str, Any], folder: Path, **options: Any) -> Pipeline:
    return Run(build_pipeline(config), folder, **options).train()


def half_of(run: Path, folder: Path) -> Path:
    """A copy of a run as it was killed after half of its steps."""
    shutil.copytree(run, folder)
    shutil.rmtree(checkpoint.path_of(folder, STEPS))
    return folder


def processes(words: list[str]) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run([*LAUNCH, *words], capture_output=True, text=True, env=environment, timeout=600)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Launched:
    return Launched(filled_once(tmp_path_factory, "processes", launch))


@pytest.fixture
def group() -> Iterator[None]:
    """FSDP makes a process group of one where there is none."""
    yield
    if dist.is_initialized():
        dist.destroy_process_group()


def curve(folder: Path, name: str = "loss") -> list[float]:
    return [entry[name] for entry in metrics_log.read(folder)]


def state(folder: Path) -> dict[str, torch.Tensor]:
    states = checkpoint.load(folder, checkpoint.newest(folder))[0]
    return {f"{part}/{name}": tensor for part, tensors in states.items() for name, tensor in tensors.items()}


def assert_same_end(first: Path, second: Path) -> None:
    one, two = state(first), state(second)
    assert one.keys() == two.keys()
    for name in one:
        torch.testing.assert_close(two[name], one[name], rtol=1e-4, atol=1e-5, msg=lambda text, n=name: f"{n}: {text}")


@pytest.mark.parametrize("name", EQUAL)
def test_two_processes_have_the_losses_of_one(run: Launched, name: str) -> None:
    alone = TOGETHER[name][0]
    assert len(curve(run.folder / name)) == STEPS
    assert curve(run.folder / name) == pytest.approx(curve(run.folder / alone), abs=1e-5)
    if "meanflow" in name or "forward" in name:  # whose loss is weighted to be about 1 whatever the error
        assert curve(run.folder / name, "error") == pytest.approx(curve(run.folder / alone, "error"), rel=1e-5)


@pytest.mark.parametrize("name", [name for name in EQUAL if "muon" not in name])  # whose iterations are in bf16
def test_two_processes_end_with_the_weights_averages_and_moments_of_one(run: Launched, name: str) -> None:
    assert_same_end(run.folder / TOGETHER[name][0], run.folder / name)


@pytest.mark.parametrize("name", ["flow-ddp", "meanflow-ddp"])
def test_the_processes_have_one_gradient_which_is_neither_ones_own(run: Launched, name: str) -> None:
    answer = run.answers[name]
    assert answer["spread"] == [0.0] * STEPS
    assert min(answer["alone"]) > 1e-3


def test_fsdp_keeps_a_share_of_the_weights_on_each_process(run: Launched) -> None:
    for name in ("flow-fsdp", "meanflow-fsdp"):
        assert run.answers[name]["share"] == pytest.approx(
            run.answers[name.replace("fsdp", "ddp")]["share"] / 2, rel=0.05
        )


def test_fsdp_computes_in_bf16_and_keeps_float32(run: Launched) -> None:
    losses = curve(run.folder / "bf16-fsdp")
    assert losses == pytest.approx(curve(run.folder / "flow"), rel=0.01)
    assert losses != pytest.approx(curve(run.folder / "flow"), abs=1e-6)
    assert {tensor.dtype for tensor in state(run.folder / "bf16-fsdp").values()} == {torch.float32}


def test_ddp_writes_one_file_for_each_part_and_fsdp_one_for_each_process(run: Launched) -> None:
    def files(name: str, part: str) -> list[str]:
        return sorted(p.name for p in checkpoint.path_of(run.folder / name, STEPS).rglob(f"*{part}*"))

    assert files("flow-ddp", "nets") == ["nets.safetensors"]
    shards = list((checkpoint.path_of(run.folder / "flow-fsdp", STEPS) / "nets").iterdir())
    assert len(shards) == 2
    assert all(shard.suffix == ".safetensors" for shard in shards)


@pytest.mark.parametrize("name", ["flow-ddp", "flow-fsdp"])
def test_each_sample_is_drawn_once_though_two_processes_share_them(run: Launched, name: str) -> None:
    """Five samples: the second process draws three of its own places, of which one is over."""
    sheets = [np.asarray(Image.open(run.folder / n / "samples" / f"step-{STEPS:08d}.png"), int) for n in (name, "flow")]
    assert sheets[0].shape == sheets[1].shape
    assert np.abs(sheets[0] - sheets[1]).max() <= 1


@pytest.mark.parametrize("name", ["flow-ddp", "flow-fsdp", "meanflow-fsdp"])
def test_the_pipeline_of_two_processes_is_saved_whole(run: Launched, name: str) -> None:
    here, alone = (Pipeline.load(run.folder / n).generate([1, 2], tensors=True) for n in (name, TOGETHER[name][0]))
    torch.testing.assert_close(here, alone, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["stopped-ddp", "stopped-fsdp"])
def test_a_signal_to_one_process_stops_all_of_them_at_one_step_with_a_checkpoint(run: Launched, name: str) -> None:
    answer = run.answers[name]
    assert answer["step"] in (HALF, HALF + 1)
    assert f"Stopped at step {answer['step']} of {STEPS}" in answer["stopped"]
    assert checkpoint.newest(run.folder / name) == answer["step"]


def test_a_loss_that_is_no_number_on_one_process_stops_all_with_the_examples_of_that_one(run: Launched) -> None:
    order = EpochOrder(32, 0)
    examples = ", ".join(str(order[2 * 8 + slot].row) for slot in range(4, 8))
    first, second = run.answers["poisoned-ddp"]["failed"]
    assert first == second
    assert f"Step 3: loss is nan. It was computed from examples {examples} of the training split." in first
    assert checkpoint.steps_in(run.folder / "poisoned-ddp") == []


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
@pytest.mark.parametrize("name", ["flow-ddp", "stopped-fsdp"])
def test_what_two_processes_saved_one_goes_on_with(
    run: Launched, tmp_path: Path, name: str, strategy: str, group: None
) -> None:
    folder = tmp_path / "run"
    if name.startswith("stopped"):
        shutil.copytree(run.folder / name, folder)
    else:
        half_of(run.folder / name, folder)
    train(flow(strategy=strategy), folder, resume=True)
    assert curve(folder) == pytest.approx(curve(run.folder / "flow"), abs=1e-5)
    assert_same_end(run.folder / "flow", folder)


def test_a_process_that_fails_ends_the_run_with_its_own_traceback(tmp_path: Path) -> None:
    plan = [{"name": "dying", "config": flow(), "folder": str(tmp_path / "run"), "dies": True}]
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    ended = processes([str(SCRIPT), str(tmp_path / "plan.json"), str(tmp_path / "answers.json")])
    assert ended.returncode != 0
    assert "ValueError: the second process met something odd" in ended.stderr
    assert "scenarios.py" in ended.stderr
    assert not (tmp_path / "answers.json").exists()


def test_torchrun_and_accelerate_launch_run_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "flow.json").write_text(json.dumps(flow(steps=2)))
    words = ["-m", "nanogen_core", "train", str(tmp_path / "flow.json"), "--output"]
    accelerate = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2",
                  "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no",
                  "--main_process_port", "0"]  # fmt: skip
    for launcher, folder in ((LAUNCH, "torchrun"), (accelerate, "accelerate")):
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        ended = subprocess.run([*launcher, *words, str(tmp_path / folder)], capture_output=True, text=True,
                               env=environment, timeout=600)  # fmt: skip
        assert ended.returncode == 0, ended.stderr[-3000:]
        assert checkpoint.load(tmp_path / folder, 2)[1]["processes"] == 2
    assert curve(tmp_path / "torchrun") == curve(tmp_path / "accelerate")
