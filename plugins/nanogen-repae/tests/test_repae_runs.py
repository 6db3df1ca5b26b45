"""Losses and gradients against the equations, contracts, and tiny runs on both tasks."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import click
import pytest
import torch
import torch.nn.functional as F
from click.testing import CliRunner
from PIL import Image
from torch import Tensor, nn

from nanogen_core import build_pipeline, resolve
from nanogen_core.cli.sample import sample
from nanogen_core.config import layered
from nanogen_core.errors import ConfigError, Incompatible, TrainingError
from nanogen_core.pipeline import Pipeline
from nanogen_core.randomness import KeyedRNG
from nanogen_core.tensors import Batch, State, Times
from nanogen_core.testing import PluginContract
from nanogen_eval.cli.evaluate import evaluate
from nanogen_eval.sources.sampled import identity
from nanogen_files import storage
from nanogen_repae.stage import STATISTICS, TOKENIZER, RepaE
from nanogen_train import start_from
from nanogen_train.checkpoint import checkpoint
from nanogen_train.logging import metrics_log
from nanogen_train.stages.build import stage_of
from nanogen_train.testing import StageContract
from nanogen_train.trainer.loop import Run
from tests.processes import forked

TASKS = ("imagenet", "t2i")
ROWS = 4


class TestPlugin(PluginContract):
    @pytest.fixture
    def manifest(self) -> str:
        return "nanogen_repae.plugin"


@pytest.mark.parametrize("task", TASKS)
class TestRepaE(StageContract):
    @pytest.fixture
    def pipeline(self, small: dict[str, Any], task: str) -> Pipeline:
        return build_pipeline({**small, "task": task})


# -- losses and gradients --------------------------------------------------------------------------------------------


def prepared(config: dict[str, Any]) -> tuple[RepaE, Batch, KeyedRNG]:
    """Return a stage with random weights in place of zeros, a prepared batch, and the random numbers of a step."""
    pipeline = build_pipeline(config)
    for parameter in pipeline.backbone.parameters():
        nn.init.normal_(parameter, std=0.1)
    stage = stage_of(pipeline)
    assert isinstance(stage, RepaE)
    batch = stage.prepare(next(iter(pipeline.task.batches("train", ROWS))), 0)
    return stage, batch, KeyedRNG(0, range(ROWS), step=0)


def trained_by(stage: RepaE, loss: Tensor) -> set[str]:
    """Return the names of the parameters that a loss has gradients for, and drop these."""
    loss.backward()  # type: ignore[no-untyped-call]
    found = {name for name, p in stage.nets.named_parameters() if p.grad is not None and p.grad.abs().max() > 0}
    for parameter in stage.nets.parameters():
        parameter.grad = None
    return found


@pytest.mark.parametrize("task", TASKS)
def test_each_loss_reaches_exactly_its_parameters(small: dict[str, Any], task: str) -> None:
    stage, batch, rng = prepared({**small, "task": task})
    names = {name for name, p in stage.nets.named_parameters() if p.requires_grad}
    vae = {name for name in names if name.startswith("tokenizer.vae.")}
    encoder = {name for name in vae if ".encoder." in name}
    assert encoder
    assert vae - encoder
    latents = stage.tokenizer.norm(stage.tokenizer.posterior(batch.images).mean)
    assert trained_by(stage, stage._alignment_of(latents, batch, rng)) == encoder
    assert trained_by(stage, stage.loss(TOKENIZER, batch, rng).total) == vae
    student = trained_by(stage, stage.loss("student", batch, rng).total)
    assert student
    assert not student & vae
    assert {name for name in names - vae if name.startswith("repa.")} <= student
    assert {name for name, p in stage.nets.named_parameters() if p.requires_grad} == names


def test_the_losses_are_those_of_the_equations(small: dict[str, Any]) -> None:
    """By torch's batch normalisation and the networks themselves, with the same random numbers."""
    stage, batch, rng = prepared(small)
    vae, backbone, projector = stage.tokenizer.vae.net, stage.pipeline.backbone, stage.nets["repa"]
    norm = nn.BatchNorm2d(8, eps=1e-4, momentum=0.1, affine=False)
    norm.load_state_dict({"running_mean": vae.mean, "running_var": vae.std**2, "num_batches_tracked": torch.tensor(0)})
    condition = stage.pipeline.conditioner.encode(batch)
    null = stage.pipeline.conditioner.null(ROWS)
    teacher = batch.extras["repa"]
    mean, log_variance = vae.encoder(batch.images).chunk(2, dim=1)
    z = mean + (log_variance / 2).exp() * rng.normal("repa-e.posterior", (8, 2, 2))
    noise, t = rng.normal("noise", (8, 2, 2)), (1 + (rng.normal("time", ()) / 2**0.5).erf()) / 2  # uniform

    def passed(latents: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Return the velocity loss, and minus the mean cosine similarity of the projected tokens."""
        state = State((1 - t)[:, None, None, None] * latents + t[:, None, None, None] * noise)
        found = backbone(state, Times(t, t), condition._replace(tokens=tokens), intermediates=("block.1",))
        similarity = F.cosine_similarity(projector(found.features["block.1"]), teacher, dim=-1).mean()
        target = (state.latent - latents) / t.clamp(min=0.05)[:, None, None, None]
        return F.mse_loss(found.value.latent, target), -similarity

    kl = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum() / ROWS
    _, alignment = passed(norm.eval()(z), condition.tokens)
    expected = F.l1_loss(vae.decoder(z), batch.images) + 1e-6 * kl + 1.5 * alignment
    found = stage.loss(TOKENIZER, batch, rng)
    torch.testing.assert_close(found.total, expected)
    ours, theirs = (torch.autograd.grad(loss, list(vae.parameters())) for loss in (found.total, expected))
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-3, atol=1e-6)

    dropped = rng.uniform("condition.dropout") < 0.1
    tokens = torch.where(dropped[:, None, None], null.tokens, condition.tokens)
    velocity, alignment = passed(norm.train()(z.detach()), tokens)
    torch.testing.assert_close(stage.loss("student", batch, rng).total, velocity + 0.5 * alignment)
    stage.after_step(0)
    torch.testing.assert_close(stage.tokenizer.norm.running_mean, norm.running_mean)
    torch.testing.assert_close(stage.tokenizer.norm.running_var, norm.running_var)


def test_the_student_sees_the_latents_from_before_the_update(small: dict[str, Any]) -> None:
    stage, batch, rng = prepared(small)
    before = stage.loss("student", batch, rng).total.item()
    for parameter in stage.tokenizer.parameters():
        parameter.data.mul_(1.1)
    assert stage.loss("student", stage.prepare(batch, 0), rng).total.item() == before


# -- runs ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", TASKS)
def test_a_short_training_improves_every_loss(small: dict[str, Any], tmp_path: Path, task: str) -> None:
    train = {**small["train"], "steps": 40, "batch_size": 8, "log_every": 10, "checkpoint_every": 0}
    stage = {**small["stage"], "ema_decay": 0.9}
    pipeline = build_pipeline({**small, "task": task, "train": train, "stage": stage})
    real = next(iter(pipeline.task.batches("train", 64)))
    assert real.images is not None
    before = _moment_distance(pipeline.sample(real, steps=10), real.images)
    trained = Run(pipeline, tmp_path).train()
    first, *_, last = metrics_log.read(tmp_path)
    assert last["flow"] < 0.9 * first["flow"]
    assert last["alignment"] < first["alignment"] - 0.05  # of the tokenizer
    assert last["repa"] < first["repa"] - 0.05  # of the backbone
    assert last["l1"] < 1.2 * first["l1"]  # the reconstruction is kept
    assert _moment_distance(trained.sample(real, steps=10), real.images) < 0.5 * before


def _moment_distance(x: Tensor, y: Tensor) -> float:
    """Return the distance of the mean images plus that of the standard deviations of the pixels."""
    means = (x.mean(dim=0) - y.mean(dim=0)).square().mean().sqrt()
    return float(means + (x.std(dim=0) - y.std(dim=0)).square().mean().sqrt())


def test_recomputed_activations_give_the_same_steps(small: dict[str, Any], tmp_path: Path) -> None:
    states = []
    for word in ("none", "all"):
        train = {**small["train"], "steps": 2, "activation_checkpointing": word}
        Run(build_pipeline({**small, "train": train}), tmp_path / word).train()
        states.append(checkpoint.load(tmp_path / word, 2)[0]["nets"])
    for name, value in states[0].items():
        torch.testing.assert_close(states[1][name], value, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("accumulated", [1, 2])
def test_resume_is_exact(small: dict[str, Any], tmp_path: Path, accumulated: int) -> None:
    config = {**small, "train": {**small["train"], "grad_accum_steps": accumulated}}
    Run(build_pipeline(config), tmp_path).train()
    whole = checkpoint.load(tmp_path, 4)[0]
    assert whole.keys() == {"nets", "optimizer-tokenizer", "optimizer-student"}
    shutil.rmtree(checkpoint.path_of(tmp_path, 4))
    Run(build_pipeline(config), tmp_path, resume=True).train()
    again = checkpoint.load(tmp_path, 4)[0]
    for part, tensors in whole.items():
        assert all(torch.equal(tensor, again[part][name]) for name, tensor in tensors.items()), part


def test_two_processes_take_the_same_steps(small: dict[str, Any], tmp_path: Path) -> None:
    """The statistics of a batch are those over all processes."""
    (tmp_path / "config.json").write_text(json.dumps(small), encoding="utf-8")
    words = ["train", str(tmp_path / "config.json"), "--output", str(tmp_path / "two")]
    forked.together(forked.command, words, ACCELERATE_USE_CPU="true")
    Run(build_pipeline(small), tmp_path / "one").train()
    first, second = (checkpoint.load(tmp_path / name, 4)[0]["nets"] for name in ("one", "two"))
    for name in ("running_mean", "running_var"):
        torch.testing.assert_close(first[f"{STATISTICS}.{name}"], second[f"{STATISTICS}.{name}"], rtol=1e-3, atol=1e-3)
    logs = [metrics_log.read(tmp_path / name) for name in ("one", "two")]
    for name in ("loss", "loss.student", "grad_norm", "grad_norm.student"):
        assert [line[name] for line in logs[1]] == pytest.approx([line[name] for line in logs[0]], rel=1e-2)


@pytest.mark.parametrize("task", TASKS)
def test_a_saved_run_has_the_trained_tokenizer(small: dict[str, Any], tmp_path: Path, task: str) -> None:
    config = {**small, "task": task}
    trained = Run(build_pipeline(config), tmp_path).train()
    loaded, fresh = Pipeline.load(tmp_path), build_pipeline(config)
    nets = checkpoint.load(tmp_path, 4)[0]["nets"]
    state, first = loaded.tokenizer.state_dict(), fresh.tokenizer.state_dict()
    assert all(torch.equal(state[name], nets[f"{TOKENIZER}.{name}"]) for name in state if name.startswith("vae."))
    for name in ("running_mean", "running_var"):
        assert torch.equal(state[f"norm.{name}"], nets[f"{STATISTICS}.{name}"])
        assert not torch.equal(state[f"norm.{name}"], first[f"norm.{name}"])
    assert any(not torch.equal(state[name], first[name]) for name in state if name.startswith("vae."))
    requests = loaded.task.eval_batch(2)
    images = loaded.sample(requests)
    assert torch.equal(images, trained.sample(requests))
    assert not torch.equal(images, loaded.with_parts(tokenizer=fresh.tokenizer).sample(requests))
    assert not any(p.requires_grad for p in loaded.tokenizer.parameters())


def test_a_run_starts_from_the_trained_tokenizer(small: dict[str, Any], tmp_path: Path) -> None:
    Run(build_pipeline(small), tmp_path / "a").train()
    saved = storage.read_tensors(tmp_path / "a" / "tokenizer.safetensors")
    config = {**small, "train": {**small["train"], "init": str(tmp_path / "a")}}
    second = Run(build_pipeline(config), tmp_path / "b")
    assert second.init is not None
    assert second.init.parts["tokenizer"].as_dict() == {"taken": len(saved)}
    state = second.stage.nets[TOKENIZER].state_dict()
    assert all(torch.equal(state[name], value) for name, value in saved.items())
    assert torch.equal(second.stage.nets[STATISTICS].running_mean, saved["norm.running_mean"])


def test_a_frozen_tokenizer_with_other_weights_than_the_trained_one_is_noted(
    small: dict[str, Any], tmp_path: Path
) -> None:
    Run(build_pipeline(small), tmp_path).train()
    frozen = {**small, "stage": {"name": "diffusion"}}
    weights = str(tmp_path / "tokenizer.safetensors")
    loaded = {**small["tokenizer"], "weights": weights}
    said = "the source trained its tokenizer, and the tokenizer here has other weights: load " + weights
    for tokenizer, noted in ((small["tokenizer"], True), (loaded, False)):
        report = start_from(build_pipeline({**frozen, "tokenizer": tokenizer}), str(tmp_path))
        assert any(note.startswith(said) for note in report.notes) == noted


def test_the_fingerprint_has_the_weights_of_the_tokenizer(small: dict[str, Any], tmp_path: Path) -> None:
    trained = Run(build_pipeline(small), tmp_path).train()
    known = identity(Pipeline.load(tmp_path))
    assert identity(trained) == known
    tensors = storage.read_tensors(tmp_path / "tokenizer.safetensors")
    tensors["norm.running_mean"] += 0.1
    storage.write_tensors(tmp_path / "tokenizer.safetensors", tensors)
    changed = identity(Pipeline.load(tmp_path))
    assert changed["weights"] != known["weights"]
    assert changed["config"] == known["config"]


def test_verbs_use_the_trained_tokenizer(small: dict[str, Any], tmp_path: Path) -> None:
    """`nanogen sample` decodes with it, and `nanogen evaluate` samples and reconstructs with it."""
    run = tmp_path / "run"
    trained = Run(build_pipeline(small), run).train()
    _invoke(sample, run, "--label", "1", "--output", tmp_path / "images")
    with Image.open(tmp_path / "images" / "00000-1.png") as image:
        assert list(image.getdata()) == list(trained.generate([1])[0].getdata())
    for number, words in enumerate([["--metrics", "openmoji-accuracy"], ["--reconstruct", "--metrics", "psnr"]]):
        _invoke(evaluate, run, "--count", "4", "--output", tmp_path / str(number), *words)
        text = (tmp_path / str(number) / "scores.json").read_text(encoding="utf-8")
        assert identity(trained)["weights"] in text


def _invoke(verb: click.Command, *words: object) -> None:
    ran = CliRunner().invoke(verb, [str(word) for word in words], catch_exceptions=False)
    assert ran.exit_code == 0, ran.output


def test_averages_are_sampled_during_training(small: dict[str, Any]) -> None:
    pipeline = build_pipeline(small)
    stage = stage_of(pipeline)
    stage.nets[STATISTICS].running_mean.add_(1.0)
    averaged = stage.averaged()
    assert averaged.tokenizer.norm is stage.nets[STATISTICS]
    assert averaged.tokenizer.vae is pipeline.tokenizer.vae
    assert pipeline.tokenizer.norm is not stage.nets[STATISTICS]


def test_scores_during_training_have_the_identity_of_the_saved_pipeline(small: dict[str, Any], tmp_path: Path) -> None:
    pipeline = build_pipeline(small)
    stage = stage_of(pipeline)
    with torch.no_grad():
        next(pipeline.tokenizer.vae.parameters()).add_(1.0)
        stage.nets[STATISTICS].running_mean.add_(1.0)
    pipeline.save(tmp_path, weights=stage.weights())
    assert identity(stage.averaged()) == identity(Pipeline.load(tmp_path))


# -- configuration ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", TASKS)
def test_the_recipe_resolves_for_both_tasks(task: str) -> None:
    resolved = resolve(*layered("repa-e-openmoji", {"task": task}))
    assert resolved.groups["auxiliary"]["repa"].config.distance == "cosine"


def test_the_defaults_are_those_of_the_published_code() -> None:
    resolved = resolve({"task": "imagenet", "method": "repa-e"})
    stage, repa, train = (
        resolved.slots["stage"].config, resolved.groups["auxiliary"]["repa"].config, resolved.sections["train"],
    )  # fmt: skip
    assert (stage.align_weight, repa.weight, repa.block, repa.mlp_width) == (1.5, 0.5, 8, 2048)
    assert (stage.l1_weight, stage.perceptual, stage.perceptual_weight, stage.kl_weight) == (1.0, "lpips", 1.0, 1e-6)
    assert (stage.ema_decay, stage.condition_dropout) == (0.9999, 0.1)
    assert (train.steps, train.batch_size, train.gradient_clip) == (400_000, 256, 1.0)
    optimizer, tokenizer = resolved.slots["optimizer"].config, resolved.slots["tokenizer"].config
    assert (optimizer.lr, optimizer.beta1, optimizer.beta2) == (1e-4, 0.9, 0.999)
    assert (tokenizer.eps, tokenizer.momentum) == (1e-4, 0.1)
    objective = resolved.slots["objective"].config
    assert (objective.time_mean, objective.shift) == (None, 1.0)  # uniform times


def test_a_cache_of_latents_is_refused(small: dict[str, Any], tmp_path: Path) -> None:
    train = {**small["train"], "cache_latents": True}
    with pytest.raises(TrainingError, match=r"set train.cache_latents to false"):
        Run(build_pipeline({**small, "train": train}), tmp_path).train()


def test_a_frozen_tokenizer_is_refused(small: dict[str, Any]) -> None:
    with pytest.raises(Incompatible, match=r"'repa-e' needs a tokenizer that provides 'end-to-end'.*'batch-norm-vae'"):
        resolve({**small, "tokenizer": "openmoji-vae"})


def test_a_missing_alignment_is_refused(small: dict[str, Any]) -> None:
    for auxiliary in ({"repa": None}, {"repa": {**small["auxiliary"]["repa"], "weight": 0.0}}):
        with pytest.raises(ConfigError, match=r"stage.align: there is no auxiliary loss 'repa' with a weight above 0"):
            stage_of(build_pipeline({**small, "auxiliary": auxiliary}))
