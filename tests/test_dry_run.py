"""`nanogen train --dry-run`: the first step of the real run, and nothing on the disk."""

import pytest
import yaml
from click.testing import CliRunner

from nanogen_core import build_pipeline
from nanogen_core.config import resolve
from nanogen_core.errors import ConfigError, DataError, TrainingError
from nanogen_train.cli.train import train
from nanogen_train.logging import metrics_log
from nanogen_train.trainer.dry_run import run_dry
from nanogen_train.trainer.loop import Run


@pytest.fixture
def place(small, tmp_path, monkeypatch):
    """A working folder with a configuration and nothing else."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(small))
    return tmp_path


def files(folder):
    return {file: file.stat().st_mtime_ns for file in folder.rglob("*")}


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_the_step_is_the_first_of_a_real_run(small, tmp_path, strategy):
    small["train"].update(log_every=1, steps=1, strategy=strategy)
    pipeline = Run(build_pipeline(small), tmp_path).train()
    found, real = run_dry(resolve(small)), metrics_log.read(tmp_path)[0]
    for name in ("loss", "grad_norm"):
        assert found.scalars[name] == real[name]
    assert found.flops == real["flops.with_gradient"] + real["flops.without_gradient"] > 0
    size = sum(parameter.numel() for parameter in pipeline.backbone.parameters())
    assert found.counts["backbone"] == (size, size)
    assert found.counts["ema"] == (size, 0)
    assert found.counts["tokenizer"] == (sum(p.numel() for p in pipeline.tokenizer.parameters()), 0)
    assert "student" not in found.counts  # which is the backbone
    assert found.shapes["images"] == "[8, 3, 16, 16] float32"
    assert found.peak["process"] > 50e6


def test_the_command_writes_nothing(place):
    before = files(place)
    said = CliRunner().invoke(train, ["small.yaml", "--dry-run", "--output", "run"], catch_exceptions=False)
    assert said.exit_code == 0
    for word in (
        "images            [8, 3, 16, 16] float32",
        "backbone",
        "one step: loss ",
        "GFLOPs",
        "MB of the process",
    ):
        assert word in said.output
    assert said.output.endswith("Nothing was written.\n")
    assert files(place) == before


def test_a_run_that_is_there_is_not_touched(small, place):
    Run(build_pipeline(small), place / "run").train()
    before = files(place)
    said = CliRunner().invoke(train, ["small.yaml", "--dry-run", "--output", "run"], catch_exceptions=False)
    assert said.exit_code == 0
    assert files(place) == before


def test_a_part_given_as_an_object_takes_the_step(small):
    given = run_dry(resolve({**small, "objective": build_pipeline(small).objective}))
    assert given.scalars["loss"] == run_dry(resolve(small)).scalars["loss"]


def test_nothing_is_cached_for_one_step(small):
    small["train"]["cache_latents"] = True
    assert "images" in run_dry(resolve(small)).shapes


@pytest.mark.parametrize(("parts", "tried"), [(1, 8), (4, 8), (5, 5), (10, 10)])
def test_a_large_batch_is_not_read_on_a_cpu(small, monkeypatch, parts, tried):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    small["train"].update(batch_size=100_000, grad_accum_steps=parts)
    found = run_dry(resolve(small))
    assert found.shapes["images"] == f"[{tried}, 3, 16, 16] float32"
    assert found.setting["samples"] == f"{tried} (on a CPU; train.batch_size is 100000)"


def test_mistakes_are_those_of_training(small, place, monkeypatch):
    with pytest.raises(TrainingError, match="fsdp does not support fp16"):
        run_dry(resolve({**small, "train": {**small["train"], "strategy": "fsdp", "precision": "fp16"}}))
    monkeypatch.setattr("nanogen_data.loader.DataShard.of", lambda self, size: range(size // 3))
    with pytest.raises(TrainingError, match="which cannot be split into 5 equal micro-batches"):
        run_dry(resolve({**small, "train": {**small["train"], "batch_size": 100, "grad_accum_steps": 5}}))
    words = ["small.yaml", "--dry-run", "--set", "train.trackers=[nowhere]"]
    with pytest.raises(ConfigError, match="unknown tracker 'nowhere'"):
        CliRunner().invoke(train, words, catch_exceptions=False)
    both = CliRunner().invoke(train, ["small.yaml", "--dry-run", "--resume"])
    assert both.exit_code == 2
    assert "remove --resume" in both.output


def test_the_questions_a_sampling_step_and_a_checkpoint_are_tried(small, tmp_path, monkeypatch):
    small["train"]["sample_every"] = 3
    found = run_dry(resolve(small))
    assert found.sheet is None
    Run(build_pipeline({**small, "train": {**small["train"], "steps": 1}}), tmp_path).train()
    folder = tmp_path / "checkpoints" / "step-00000001"
    assert found.checkpoint == pytest.approx(sum(file.stat().st_size for file in folder.rglob("*")), rel=0.01)

    def eval_batch(self, count, *, seed=0):
        raise DataError("There is no split 'val'.")

    monkeypatch.setattr("nanogen_imagenet.task.ImageNet.eval_batch", eval_batch)
    assert run_dry(resolve(small)).sheet == "DataError: There is no split 'val'."


def test_the_command_says_that_sheets_would_fail(small, place, monkeypatch):
    small["train"]["sample_every"] = 3
    (place / "small.yaml").write_text(yaml.safe_dump(small))
    monkeypatch.setattr("nanogen_imagenet.task.ImageNet.eval_batch", lambda self, count, *, seed=0: 1 / 0)
    said = CliRunner().invoke(train, ["small.yaml", "--dry-run"], catch_exceptions=False)
    assert said.exit_code == 0
    assert (
        "samples: FAIL (ZeroDivisionError: division by zero); training would continue without sample sheets"
        in said.output
    )
