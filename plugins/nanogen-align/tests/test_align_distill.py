"""Distillation from the folder of another pipeline: on both tasks, values, fingerprints, and what is refused."""

from __future__ import annotations

import pytest
import torch

from nanogen_core import Pipeline, build_pipeline
from nanogen_core.errors import ConfigError, Incompatible, NanoGenError
from nanogen_core.tensors import Times
from nanogen_data import contents
from nanogen_files import storage
from nanogen_train.checkpoint import checkpoint
from nanogen_train.logging import metrics_log
from nanogen_train.trainer.loop import Run


def teacher_of(config, folder, **over):
    """Save a pipeline with random weights: zero heads would have the zero velocity."""
    pipeline = build_pipeline(config, seed=3, **over)
    generator = torch.Generator().manual_seed(1)
    for parameter in pipeline.backbone.parameters():
        torch.nn.init.normal_(parameter, std=0.4, generator=generator)
    return str(pipeline.save(folder))


def student(config, teacher, **options):
    return {**config, "auxiliary": {"distill": {"teacher": teacher, **options}}}


def texts(config):
    return {**config, "task": "t2i", "conditioner": "text"}


@pytest.mark.parametrize("match", ["velocity", "features"])
@pytest.mark.parametrize("task", ["imagenet", "t2i"])
def test_the_student_comes_nearer_on_both_tasks(small, task, match, tmp_path):
    config = texts(small) if task == "t2i" else small
    teacher = teacher_of(config, tmp_path / "teacher")
    before = (tmp_path / "teacher" / "backbone.safetensors").read_bytes()
    options = {"match": match, "block": 2, "weight": 10.0}
    config["train"].update(steps=20, log_every=10)
    training = Run(build_pipeline(student(config, teacher, **options)), tmp_path / "run")
    training.train()
    entries = metrics_log.read(tmp_path / "run")
    assert entries[-1]["distill.distance"] < entries[0]["distill.distance"]
    assert entries[0]["loss"] == pytest.approx(entries[0]["flow"] + 10 * entries[0]["distill.distance"], rel=1e-4)
    nets = checkpoint.load(tmp_path / "run", checkpoint.newest(tmp_path / "run"))[0]["nets"]
    assert ("distill.weight" in nets) == (match == "features")
    assert not [name for name in nets if "teacher" in name]
    own = training.stage.auxiliaries["distill"].teacher
    assert not any(p.requires_grad or p.grad is not None for p in own.backbone.parameters())
    assert (tmp_path / "teacher" / "backbone.safetensors").read_bytes() == before
    assert Pipeline.load(tmp_path / "run").backbone is not None


@pytest.mark.parametrize("task", ["imagenet", "t2i"])
def test_the_loss_is_the_distance_of_two_networks_at_the_same_state(small, task, tmp_path):
    """A teacher with the student's own weights has distance 0; another one the plainly computed distance."""
    config = texts(small) if task == "t2i" else small
    folder = teacher_of(config, tmp_path / "teacher")
    run = Run(build_pipeline(student(config, folder)), tmp_path / "run")
    auxiliary, stage = run.stage.auxiliaries["distill"], run.stage
    seen = {}
    inner = auxiliary.loss

    def loss(forward_pass, *rest):
        seen["pass"], seen["losses"] = forward_pass, inner(forward_pass, *rest)
        return seen["losses"]

    auxiliary.loss = loss
    stage.config = type(stage.config)(condition_dropout=0.5)
    run.first_step()
    given = seen["pass"]
    assert given.condition.null.any()
    assert not given.condition.null.all()
    net = Pipeline.load(folder).backbone.eval()
    with torch.no_grad():
        target = net(given.state, given.times, given.condition).value.latent
    expected = (given.prediction.value.latent.detach() - target).square().mean()
    assert float(seen["losses"].total.detach()) == pytest.approx(float(expected), rel=1e-5)
    run.pipeline.backbone.load_state_dict(Pipeline.load(folder).backbone.state_dict())
    run.first_step()
    assert float(seen["losses"].total.detach()) < 1e-10


@pytest.mark.parametrize("task", ["imagenet", "t2i"])
def test_a_teacher_that_encodes_the_batch_itself_sees_the_same_null_rows(small, task, tmp_path):
    config = texts(small) if task == "t2i" else small
    run = Run(build_pipeline(student(config, teacher_of(config, tmp_path / "teacher"))), tmp_path / "run")
    auxiliary = run.stage.auxiliaries["distill"]
    assert auxiliary._same_condition
    run.stage.config = type(run.stage.config)(condition_dropout=0.5)
    inner, found = auxiliary.loss, []

    def loss(*arguments):
        for auxiliary._same_condition in (True, False):
            found.append(inner(*arguments))
        return found[0]  # both have the same gradient

    auxiliary.loss = loss
    run.first_step()
    assert found[1].total.item() == pytest.approx(found[0].total.item(), rel=1e-5)


def test_a_flow_teacher_is_compared_with_meanflow_where_r_is_t(small, tmp_path):
    folder = teacher_of(small, tmp_path / "teacher")
    config = student({**small, "objective": "meanflow"}, folder)
    auxiliary = Run(build_pipeline(config), tmp_path / "run").stage.auxiliaries["distill"]
    pipeline = build_pipeline(small)
    batch = pipeline.task.make_batch([1, 2])
    forward_pass = flow_pass(pipeline, batch)
    whole = auxiliary.loss(forward_pass, None, batch, {}, None).total
    t = forward_pass.times.t
    half = forward_pass._replace(times=Times(t, torch.where(torch.tensor([True, False]), t, t / 2)))
    alone = auxiliary.loss(flow_pass(pipeline, batch, rows=1), None, batch.part(0, 1), {}, None).total
    assert 0 < float(alone) / 2 < float(whole)
    assert float(auxiliary.loss(half, None, batch, {}, None).total) == pytest.approx(float(alone) / 2, rel=1e-4)


def flow_pass(pipeline, batch, rows=2):
    from nanogen_core.randomness import KeyedRNG
    from nanogen_core.tensors import State

    rng = KeyedRNG(0, range(2))
    clean, condition = State(rng.normal("clean", pipeline.latent.shape)[:rows]), pipeline.conditioner.encode(batch)
    condition = condition.map(lambda x: x[:rows])
    noise = State(rng.normal("noise", pipeline.latent.shape)[:rows])
    found = pipeline.objective.forward_at(pipeline.backbone, clean, noise, torch.full((rows,), 0.5), condition)
    return found._replace(condition=condition)


def test_the_teachers_pipeline_enters_the_fingerprint(small, tmp_path):
    def fingerprint(folder):
        return contents.configuration(build_pipeline(student(small, folder)).config)["auxiliary"]["distill"]["teacher"]

    first, second = (teacher_of(small, tmp_path / name) for name in "ab")
    assert fingerprint(first) == fingerprint(second)
    (tmp_path / "b" / "checkpoints").mkdir()
    (tmp_path / "b" / "checkpoints" / "more").write_text("", encoding="utf-8")
    assert fingerprint(first) == fingerprint(second)
    tensors = storage.read_tensors(tmp_path / "b" / "backbone.safetensors")
    storage.write_tensors(tmp_path / "b" / "backbone.safetensors", {n: x + 1 for n, x in tensors.items()})
    assert fingerprint(first) != fingerprint(second)


def test_a_teacher_that_does_not_fit_is_refused(small, tmp_path):
    def build(config):
        return Run(build_pipeline(config), tmp_path / "run")

    with pytest.raises(ConfigError, match=r"auxiliary.distill.teacher: set it to the folder"):
        build(student(small, ""))
    with pytest.raises(NanoGenError, match="There is no saved pipeline in"):
        build(student(small, str(tmp_path / "nowhere")))
    larger = teacher_of(small, tmp_path / "larger", image_size=32)
    with pytest.raises(Incompatible, match="Train both on the same latents"):
        build(student(small, larger))
    other = teacher_of(small, tmp_path / "classes")
    facts = storage.read_json(tmp_path / "classes" / "pipeline.json")
    storage.write_json(tmp_path / "classes" / "pipeline.json", {**facts, "classes": facts["classes"][::-1]})
    with pytest.raises(Incompatible, match="has other classes"):
        build(student(small, other))


def test_features_need_a_backbone_that_returns_them(small, tmp_path, monkeypatch):
    from nanogen_align import plugin
    from nanogen_core.registry import Chosen
    from nanogen_core.specs import Component

    backbone = Chosen(Component(kind="backbone", name="plain", target="x:Y"), "", {})
    config = {"auxiliary": {"distill": {"match": "features", "teacher": "x"}}}
    (line,) = plugin.nanogen_check(parts={"backbone": backbone}, config=config)
    assert line == "auxiliary.distill.match: the backbone 'plain' does not provide 'features'. Set match to velocity."
