"""Contracts, refused combinations, and tiny runs on both tasks."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from nanogen_core import build_pipeline, resolve
from nanogen_core.config import layered
from nanogen_core.errors import ConfigError, Incompatible, NanoGenError
from nanogen_core.pipeline import Pipeline
from nanogen_core.protocols import Objective
from nanogen_core.randomness import KeyedRNG
from nanogen_core.tensors import Condition, Prediction, State, Times
from nanogen_core.testing import ObjectiveContract, PluginContract
from nanogen_core.testing.comparison import global_rng_untouched
from nanogen_drifting.objective import OneStep
from nanogen_drifting.stage import BANK, QUEUE, Drifting
from nanogen_eval.sources.sampled import identity
from nanogen_train.checkpoint import checkpoint
from nanogen_train.stages.build import stage_of
from nanogen_train.testing import StageContract
from nanogen_train.trainer.loop import Run
from tests.processes import forked

TASKS = ("imagenet", "t2i")


class TestPlugin(PluginContract):
    @pytest.fixture
    def manifest(self) -> str:
        return "nanogen_drifting.plugin"


class TestOneStep(ObjectiveContract):
    predicts = "data"
    steps = (1,)

    @pytest.fixture
    def objective(self) -> OneStep:
        return OneStep()

    def test_loss_uses_only_its_rng(self, objective: Objective) -> None:
        """With a network that copies its noise, because the loss of the oracle does not depend on the noise."""

        def copy(state: State, times: Times, condition: Condition) -> Prediction:
            return Prediction(state)

        with global_rng_untouched():
            first, again = (self.loss_of(objective, copy).total.item() for _ in range(2))
        assert first == again
        assert self.loss_of(objective, copy, step=1).total.item() != first


@pytest.mark.parametrize("task", TASKS)
class TestDrifting(StageContract):
    @pytest.fixture
    def pipeline(self, small: dict[str, Any], task: str) -> Pipeline:
        return build_pipeline({**small, "task": task})


class TestWithAnEncoder(StageContract):
    @pytest.fixture
    def pipeline(self, small: dict[str, Any]) -> Pipeline:
        features = {"features": "openmoji-classifier", "latent_features": False, "generated": 2, "positives": 2}
        return build_pipeline({**small, "stage": {**small["stage"], **features}})


# -- training --------------------------------------------------------------------------------------------------------


def energy_distance(x: Tensor, y: Tensor) -> float:
    """Return `2 E|x - y| - E|x - x'| - E|y - y'|`, which is 0 for equal distributions."""
    x, y = x.flatten(1), y.flatten(1)
    return float(2 * torch.cdist(x, y).mean() - torch.cdist(x, x).mean() - torch.cdist(y, y).mean())


def colour_correlation(x: Tensor, y: Tensor) -> float:
    """Return the correlation of the mean colours of paired images; 0 if all images are equal."""
    first, second = (images.mean(dim=(2, 3)) - images.mean(dim=(0, 2, 3)) for images in (x, y))
    return float((first * second).sum() / (first.norm() * second.norm()).clamp(min=1e-9))


@pytest.mark.parametrize("task", TASKS)
def test_training_moves_samples_to_the_data_of_their_condition(
    small: dict[str, Any], tmp_path: Path, task: str
) -> None:
    train = {**small["train"], "steps": 80, "batch_size": 8, "log_every": 40, "checkpoint_every": 0}
    pipeline = build_pipeline({**small, "task": task, "train": train})
    real = next(iter(pipeline.task.batches("train", 64)))
    assert real.images is not None
    before = energy_distance(pipeline.sample(real), real.images)
    images = Run(pipeline, tmp_path).train().sample(real)
    assert energy_distance(images, real.images) < 0.8 * before
    assert colour_correlation(images, real.images) > 0.2  # without regard to the condition: 0


@pytest.mark.parametrize("task", TASKS)
def test_resume_is_exact(small: dict[str, Any], tmp_path: Path, task: str) -> None:
    config = {**small, "task": task}
    Run(build_pipeline(config), tmp_path).train()
    whole = checkpoint.load(tmp_path, 4)[0]
    assert whole["nets"][f"{QUEUE}.written"].tolist() == [16]
    shutil.rmtree(checkpoint.path_of(tmp_path, 4))
    Run(build_pipeline(config), tmp_path, resume=True).train()
    again = checkpoint.load(tmp_path, 4)[0]
    for part, tensors in whole.items():
        assert all(torch.equal(tensor, again[part][name]) for name, tensor in tensors.items()), part


def test_a_saved_run_samples_in_one_step_with_guidance(small: dict[str, Any], tmp_path: Path) -> None:
    trained = Run(build_pipeline(small), tmp_path).train()
    loaded = Pipeline.load(tmp_path)
    assert identity(loaded)["weights"] == identity(trained)["weights"]
    plain = loaded.generate([0, 1], tensors=True)
    assert torch.equal(plain, trained.generate([0, 1], tensors=True))
    assert not torch.equal(plain, loaded.generate([0, 1], guidance=3.0, tensors=True))
    with pytest.raises(NanoGenError, match="samples in one step: set the sampling steps to 1"):
        loaded.generate([0], steps=4)


def test_a_sample_is_the_output_of_the_network(small: dict[str, Any]) -> None:
    pipeline = build_pipeline(small)
    for parameter in pipeline.backbone.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    batch, rng = pipeline.task.make_batch([0, 3]), KeyedRNG(0, [0, 1])
    noise = State(rng.normal("sample.latent", pipeline.latent.shape))
    with torch.no_grad():
        prediction, _ = pipeline.objective.generate(pipeline.backbone, noise, pipeline.conditioner.encode(batch))
        images = pipeline.tokenizer.decode(prediction.value.latent).clamp(-1, 1)
    torch.testing.assert_close(pipeline.sample(batch, seed=0), images, rtol=1e-4, atol=1e-4)


# -- positives and negatives -----------------------------------------------------------------------------------------


def stage_after(pipeline: Pipeline, steps: int) -> Drifting:
    """Return the stage with the memory of some batches."""
    stage = stage_of(pipeline)
    assert isinstance(stage, Drifting)
    for step, batch in zip(range(steps), pipeline.task.batches("train", 8), strict=False):
        stage.loss("student", stage.prepare(batch, step), KeyedRNG(0, range(8), step=step))
        stage.after_step(step)
    return stage


def test_positives_have_the_label_of_their_row(small: dict[str, Any]) -> None:
    stage = stage_after(build_pipeline(small), 6)
    held = stage.nets[BANK].written
    assert held.sum() == 48
    labels = held.topk(4).indices
    own = torch.full((4, *stage.pipeline.latent.shape), 7.0)
    real = stage._positives(own, labels, KeyedRNG(0, range(4)))
    assert torch.equal(real.latents[:, 0], own)
    assert torch.equal(real.weights, torch.ones(4, 8))
    for row, label in enumerate(labels.tolist()):
        members = stage.nets[BANK].latents[label, : held[label]]
        assert all(any(torch.equal(latent, member) for member in members) for latent in real.latents[row, 1:])


def test_positives_of_a_caption_are_weighted_by_its_similarity(small: dict[str, Any]) -> None:
    stage = stage_after(build_pipeline({**small, "task": "t2i"}), 6)
    queue = stage.nets[QUEUE]
    keys, own = queue.keys[0, [3, 20]], queue.latents[0, [3, 20]]
    real = stage._positives(own, keys, KeyedRNG(0, range(2)))
    assert torch.equal(real.latents[:, 0], own)
    for row in range(2):
        cosines = [torch.dot(keys[row], queue.keys[0, slot]).item() for slot in range(48)]
        nearest = sorted(cosines, reverse=True)[:7]
        expected = [1.0, *(torch.tensor((cosine - 1) / 0.05).exp().item() for cosine in nearest)]
        assert real.weights[row].tolist() == pytest.approx(expected, rel=1e-4)
        assert real.weights[row, 1].item() == pytest.approx(1, abs=1e-4)  # the row itself is remembered


def test_negatives_have_the_weight_of_the_scale(small: dict[str, Any]) -> None:
    stage = stage_after(build_pipeline(small), 2)
    scales = torch.tensor([1.0, 2.0, 4.0])
    real = stage._negatives(torch.zeros(3, *stage.pipeline.latent.shape), scales, KeyedRNG(0, range(3)))
    assert real.weights.sum(dim=1).tolist() == pytest.approx([0.0, 7.0, 21.0])  # (alpha - 1) (G - 1)


def test_memory_does_not_depend_on_micro_batches(small: dict[str, Any], tmp_path: Path) -> None:
    for count in (1, 2):
        train = {**small["train"], "grad_accum_steps": count}
        Run(build_pipeline({**small, "train": train}), tmp_path / str(count)).train()
    first, second = (checkpoint.load(tmp_path / str(count), 4)[0]["nets"] for count in (1, 2))
    names = [name for name in first if name.startswith((BANK, QUEUE))]
    assert len(names) == 6
    assert all(torch.equal(first[name], second[name]) for name in names)


@pytest.mark.parametrize("task", TASKS)
def test_every_process_remembers_the_batches_of_all(small: dict[str, Any], tmp_path: Path, task: str) -> None:
    config = {**small, "task": task}
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    words = ["train", str(tmp_path / "config.json"), "--output", str(tmp_path / "two")]
    forked.together(forked.command, words, ACCELERATE_USE_CPU="true")
    Run(build_pipeline(config), tmp_path / "one").train()
    first, second = (checkpoint.load(tmp_path / name, 4)[0]["nets"] for name in ("one", "two"))
    names = [name for name in first if name.startswith((BANK, QUEUE))]
    assert [name for name in names if not torch.allclose(first[name], second[name], atol=1e-5)] == []


# -- configuration ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", TASKS)
def test_the_recipe_resolves_for_both_tasks(task: str) -> None:
    resolved = resolve(*layered("drifting-openmoji", {"task": task}))
    assert resolved.slots["sampler"].config.steps == 1
    assert set(resolved.groups["guidance"]) == {"cfg-conditioned"}


def test_the_defaults_are_those_of_the_published_code() -> None:
    resolved = resolve({"task": "imagenet", "method": "drifting"})
    train, stage = resolved.sections["train"], resolved.slots["stage"].config
    assert (train.steps, train.batch_size, train.gradient_clip) == (200_000, 128, 2.0)
    assert (stage.generated, stage.positives, stage.unconditional) == (64, 64, 32)
    assert (stage.bank_size, stage.queue_size, stage.ema_decay) == (128, 1000, 0.999)
    assert (stage.scale_max, stage.scale_power, stage.temperatures) == (4.0, 5.0, (0.02, 0.05, 0.2))
    optimizer, schedule = resolved.slots["optimizer"].config, resolved.slots["schedule"].config
    assert (optimizer.lr, optimizer.beta2, schedule.warmup_steps) == (4e-4, 0.95, 10_000)


def test_auxiliary_losses_and_several_steps_are_refused(small: dict[str, Any]) -> None:
    with pytest.raises(Incompatible, match=r"no auxiliary losses. Remove `auxiliary.repa`"):
        resolve({**small, "auxiliary": {"repa": {"teacher": "openmoji-classifier"}}})
    with pytest.raises(Incompatible, match=r"sampler.steps: a one-step generator samples in one step, got 25"):
        resolve({**small, "sampler": {"steps": 25}})


def test_an_unknown_encoder_is_refused(small: dict[str, Any]) -> None:
    with pytest.raises(Incompatible, match=r"stage.features: .*'openmoji-clasifier'"):
        resolve({**small, "stage": {**small["stage"], "features": "openmoji-clasifier"}})


def test_no_features_are_refused(small: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"latent_features: must be true, or `features` must name"):
        resolve({**small, "stage": {**small["stage"], "latent_features": False}})


def test_another_stage_is_refused(small: dict[str, Any]) -> None:
    with pytest.raises(Incompatible, match=r"'one-step' needs a stage that provides 'one-step-generator'"):
        resolve({**small, "stage": "diffusion"})
