"""The loop: exact resume, stops, refusals, and what lies in the folder afterwards."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from nanogen_core import Pipeline, build_pipeline
from nanogen_core.errors import TrainingError
from nanogen_core.tensors import Losses
from nanogen_files import storage
from nanogen_train.checkpoint import checkpoint
from nanogen_train.ema.ema import EMA
from nanogen_train.logging import metrics_log
from nanogen_train.optim.optimizers import AdamW
from nanogen_train.optim.schedules import ConstantLinear
from nanogen_train.optim.settings import AdamWConfig, ConstantLinearConfig
from nanogen_train.trainer.loop import Interrupted, Run


def run(config, folder, **options):
    return Run(build_pipeline(config), folder, **options)


def final_state(folder: Path) -> dict[str, dict[str, torch.Tensor]]:
    return checkpoint.load(folder, checkpoint.newest(folder))[0]


def assert_same(first, second):
    assert first.keys() == second.keys()
    for part in first:
        assert first[part].keys() == second[part].keys()
        for name in first[part]:
            assert torch.equal(first[part][name], second[part][name]), (part, name)


def figures(folder):
    clocks = ("seconds", "images_per_second")
    return [{key: value for key, value in entry.items() if key not in clocks} for entry in metrics_log.read(folder)]


def stop_after(training, step):
    """Asks the run to stop as Ctrl-C does, once it has taken this step."""
    import os
    import signal

    before = training._one_step

    def one_step(batch):
        before(batch)
        if training.step == step:
            os.kill(os.getpid(), signal.SIGINT)

    training._one_step = one_step


def test_a_run_leaves_a_pipeline_a_log_samples_and_checkpoints(small, tmp_path):
    small["train"]["sample_every"] = 3
    told = []
    pipeline = run(small, tmp_path, report=lambda step, scalars: told.append((step, scalars["loss"]))).train()
    assert [entry["step"] for entry in metrics_log.read(tmp_path)] == [2, 4, 6] == [step for step, _ in told]
    assert {"loss", "grad_norm", "images_per_second", "seconds", "lr.student"} <= metrics_log.read(tmp_path)[0].keys()
    assert checkpoint.steps_in(tmp_path) == [3, 6]
    for step in (3, 6):
        with Image.open(tmp_path / "samples" / f"step-{step:08d}.png") as picture:
            assert picture.width == 4 * 96
    loaded = Pipeline.load(tmp_path)
    assert torch.equal(loaded.generate(["dog"], tensors=True), pipeline.generate(["dog"], tensors=True))
    assert list((tmp_path / "tensorboard").iterdir())


def test_what_is_saved_are_the_averaged_weights(small, tmp_path):
    run(small, tmp_path).train()
    nets = final_state(tmp_path)["nets"]
    saved = storage.read_tensors(tmp_path / "backbone.safetensors")
    assert all(torch.equal(saved[name], nets[f"ema.{name}"]) for name in saved)
    assert any(not torch.equal(saved[name], nets[f"student.{name}"]) for name in saved)


@pytest.mark.parametrize("cached", [False, True])
def test_a_stopped_and_resumed_run_ends_as_one_that_never_stopped(small, tmp_path, cached):
    small["train"].update(cache_latents=cached, steps=8, log_every=1)
    run(small, tmp_path / "whole").train()
    stopped = run(small, tmp_path / "parts")
    stop_after(stopped, 5)
    with pytest.raises(
        Interrupted, match="Stopped at step 5 of 8. Resume from the checkpoint of step 5 with `nanogen train .*"
    ):
        stopped.train()
    run(small, tmp_path / "parts", resume=True).train()
    assert_same(final_state(tmp_path / "whole"), final_state(tmp_path / "parts"))
    assert figures(tmp_path / "whole") == figures(tmp_path / "parts")


def test_a_stop_in_the_last_step_finishes_the_run_and_is_reported(small, tmp_path):
    training = run(small, tmp_path)
    stop_after(training, 6)
    training.train()
    assert training.stop_requested
    assert checkpoint.steps_in(tmp_path) == [3, 6]


def test_steps_after_the_last_checkpoint_are_made_and_logged_again(small, tmp_path):
    small["train"]["log_every"] = 1
    run(small, tmp_path / "whole").train()
    run(small, tmp_path / "parts").train()
    import shutil

    shutil.rmtree(checkpoint.path_of(tmp_path / "parts", 6))  # as if killed between the two checkpoints
    run(small, tmp_path / "parts", resume=True).train()
    assert figures(tmp_path / "whole") == figures(tmp_path / "parts")
    assert_same(final_state(tmp_path / "whole"), final_state(tmp_path / "parts"))


def test_cached_latents_train_as_images_do(small, tmp_path):
    run(small, tmp_path / "images").train()
    small["train"]["cache_latents"] = True
    run(small, tmp_path / "latents").train()
    first, second = (final_state(tmp_path / name)["nets"] for name in ("images", "latents"))
    for name in first:
        torch.testing.assert_close(first[name], second[name], rtol=1e-4, atol=1e-5)


def test_resuming_nothing_is_an_error(small, tmp_path):
    with pytest.raises(TrainingError, match="Cannot resume .*: the folder contains no run"):
        run(small, tmp_path, resume=True)


def test_a_run_is_not_laid_over_another(small, tmp_path):
    run(small, tmp_path).train()
    with pytest.raises(
        TrainingError, match="already contains a run. .* resume the run .--resume. or move it aside .--overwrite."
    ):
        run(small, tmp_path)


def test_two_runs_cannot_work_in_one_folder(small, tmp_path):
    from filelock import FileLock

    with FileLock(tmp_path / ".lock"), pytest.raises(TrainingError, match="Another process .*is training in "):
        run(small, tmp_path).train()
    assert not metrics_log.read(tmp_path)


def test_a_checkpoint_of_another_network_is_refused(small, tmp_path):
    run(small, tmp_path).train()
    small["backbone"]["depth"] = 2
    with pytest.raises(TrainingError, match=r"with these changes: backbone.depth was 1 and is now 2"):
        run(small, tmp_path, resume=True)
    config = tmp_path / "config.yaml"
    config.write_text(config.read_text().replace("depth: 1", "depth: 2"))
    with pytest.raises(
        TrainingError, match=r"does not match the configuration: the checkpoint has no ema.encoder.blocks.1"
    ) as caught:
        run(small, tmp_path, resume=True)
    assert "\n" not in str(caught.value)


def test_a_loss_that_is_no_number_stops_with_its_step_and_its_batch(small, tmp_path):
    training = run({**small, "train": {**small["train"], "log_every": 1}}, tmp_path)
    loss = training.stage.loss

    def poisoned(phase, batch, rng):
        losses = loss(phase, batch, rng)
        return Losses(losses.total * (torch.nan if training.step == 3 else 1))

    training.stage.loss = poisoned
    with pytest.raises(TrainingError, match=r"Step 4: loss is nan. It was computed from examples (\d+, ){7}\d+ of the"):
        training.train()
    assert checkpoint.steps_in(tmp_path) == [3]


def test_a_nan_is_found_before_a_checkpoint_is_written(small, tmp_path):
    small["train"].update(log_every=100, checkpoint_every=2)
    training = run(small, tmp_path)
    training.stage.loss = lambda phase, batch, rng: Losses(
        training.stage.nets["student"](*_inputs(training, batch)).value.latent.mean() * torch.nan
    )
    with pytest.raises(TrainingError, match="Step 1: loss is nan"):
        training.train()
    assert checkpoint.steps_in(tmp_path) == []


def _inputs(training, batch):
    from nanogen_core.tensors import State, Times

    t = torch.zeros(len(batch.indices))
    return State(batch.latents), Times(t, t), training.pipeline.conditioner.encode(batch)


def test_a_run_with_an_own_network_is_resumed_and_loaded_with_it(small, tmp_path):
    def with_network():
        like = build_pipeline(small)  # its weights do not depend on what was built before
        return build_pipeline({**small, "backbone": like.backbone})

    whole = Run(with_network(), tmp_path / "whole").train()
    stopped = Run(with_network(), tmp_path / "parts")
    stop_after(stopped, 4)
    with pytest.raises(Interrupted):
        stopped.train()
    Run(with_network(), tmp_path / "parts", resume=True).train()
    loaded = Pipeline.load(tmp_path / "parts", backbone=build_pipeline(small).backbone)
    assert torch.equal(whole.generate([0], tensors=True), loaded.generate([0], tensors=True))


def test_a_network_that_cannot_be_called_is_refused_before_training(small, tmp_path):
    built = build_pipeline({**small, "backbone": torch.nn.Linear(3, 3)})
    with pytest.raises(TrainingError, match=r"Linear.*`backbone\(state, times, condition\)`.*docs/protocols.md"):
        Run(built, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_name_in_place_of_a_pipeline_is_refused(tmp_path):
    with pytest.raises(TrainingError, match="Run expects a pipeline, not 'demo': build it first"):
        Run("demo", tmp_path)


def test_only_the_newest_checkpoints_stay(small, tmp_path):
    small["train"].update(checkpoint_every=1, keep_last=3)
    run(small, tmp_path).train()
    assert checkpoint.steps_in(tmp_path) == [4, 5, 6]


def test_a_half_written_checkpoint_is_never_taken(small, tmp_path, monkeypatch):
    run(small, tmp_path).train()
    write = storage.write_json
    monkeypatch.setattr(storage, "write_json", lambda *a: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space"):
        checkpoint.save(tmp_path, 9, {"nets": {"x": torch.ones(1)}}, {})
    monkeypatch.setattr(storage, "write_json", write)
    assert checkpoint.steps_in(tmp_path) == [3, 6]
    assert not list((tmp_path / "checkpoints").glob(".*"))


def test_a_log_whose_last_line_broke_is_read_up_to_there(tmp_path):
    metrics_log.append(tmp_path, {"step": 1})
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"step": 2, "lo')
    assert metrics_log.read(tmp_path) == [{"step": 1}]
    metrics_log.cut_after(tmp_path, 5)
    assert (tmp_path / "log.jsonl").read_text() == json.dumps({"step": 1}) + "\n"


def test_the_average_is_the_geometric_series():
    net = torch.nn.Linear(1, 1, bias=False)
    average = EMA(net)
    first = float(net.weight.detach())
    values = [2.0, -1.0, 4.0]
    for value in values:
        net.weight.data.fill_(value)
        average.update(0.9)
    expected = 0.9**3 * first + 0.1 * sum(0.9 ** (2 - i) * value for i, value in enumerate(values))
    assert float(average.net.weight) == pytest.approx(expected, rel=1e-6)


def test_fused_adamw_is_adamw():
    torch.manual_seed(0)
    start, gradients = torch.randn(7, 5), torch.randn(10, 7, 5)
    config = AdamWConfig(lr=0.01, weight_decay=0.1)

    def walk(make):
        weight = torch.nn.Parameter(start.clone())
        optimizer = make(weight)
        for gradient in gradients:
            weight.grad = gradient.clone()
            optimizer.step()
        return weight.detach()

    plain = {"lr": 0.01, "betas": (0.9, 0.95), "eps": 1e-8, "weight_decay": 0.1, "foreach": False, "fused": False}
    ours = walk(lambda weight: AdamW(config).build([("w", weight)]))
    torch.testing.assert_close(ours, walk(lambda weight: torch.optim.AdamW([weight], **plain)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("step", "factor"), [(0, 0.1), (4, 0.5), (9, 1.0), (50, 1.0), (75, 0.6), (100, 0.2), (500, 0.2)]
)
def test_the_schedule_rises_holds_and_falls(step, factor):
    config = ConstantLinearConfig(warmup_steps=10, constant_steps=50, end_step=100, final=0.2)
    assert ConstantLinear(config).factor(step) == pytest.approx(factor)


def test_the_published_schedule_is_the_default():
    schedule = ConstantLinear(ConstantLinearConfig())
    assert [2e-4 * schedule.factor(step) for step in (0, 50_000)] == [2e-4, 2e-4]
    assert 2e-4 * schedule.factor(1_000_000) == pytest.approx(2e-5)


def test_a_file_is_the_old_one_or_the_new_one(tmp_path, monkeypatch):
    path = tmp_path / "file"
    storage.write_text(path, "old")
    monkeypatch.setattr(storage.os, "fsync", lambda descriptor: (_ for _ in ()).throw(OSError(28, "No space")))
    with pytest.raises(OSError, match="No space"):
        storage.write_text(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
