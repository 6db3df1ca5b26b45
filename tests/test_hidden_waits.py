"""A training step and a sampling step never wait for the device: tensors stay tensors.

The same steps run on CUDA under `torch.cuda.set_sync_debug_mode("error")` in test_cuda.py.
"""

import pytest
import torch

from nanogen_core import build_pipeline
from nanogen_core.sampling import intervals, velocity_field
from nanogen_core.tensors import Batch, State
from nanogen_train.trainer.loop import Run
from tests.derivatives import derivatives_of
from tests.waits import waits

MEANFLOW = ("meanflow", "improved-meanflow", "meanflow-cfg-conditioned")
OBJECTIVES = {"flow": "flow", **{name: {"name": name, "probability": 1.0} for name in MEANFLOW}}


def pipeline(small, task="imagenet", **changes):
    return build_pipeline({**small, "task": task, **changes})


def example(built):
    """Return latents and conditions: reading and encoding examples is not part of the step."""
    requests = built.task.eval_batch(8)
    latents = torch.randn(8, *built.latent.shape)
    return Batch(requests.indices, latents=latents, condition=built.conditioner.encode(requests))


@pytest.mark.parametrize("task", ["imagenet", "t2i"])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_training_step_does_not_wait(small, tmp_path, monkeypatch, task, objective):
    built = pipeline(small, task, objective=OBJECTIVES[objective])
    run, derivatives = Run(built, tmp_path), derivatives_of(built.objective)
    batch = example(run.pipeline)
    for _ in range(3):  # a step that counts FLOPs, a plain one, one with statistics
        with waits(monkeypatch) as found:
            run._one_step(batch)
        assert found == []
    assert len(derivatives) == (3 if objective in MEANFLOW else 0)


@pytest.mark.parametrize(
    "auxiliary",
    [{"repa": {"block": 1}}, {"irepa": {"block": 1}}, {"reg": {"token": "mean"}}],
    ids=lambda one: next(iter(one)),
)
def test_an_auxiliary_loss_does_not_wait(small, tmp_path, monkeypatch, auxiliary):
    teacher = {name: {"teacher": "openmoji-classifier", **options} for name, options in auxiliary.items()}
    small.update(image_size=64)
    run = Run(pipeline(small, auxiliary=teacher), tmp_path)
    read = next(run.pipeline.task.batches("train", 8, seed=0))
    batch = run._prepare(read)._replace(condition=run.pipeline.conditioner.encode(read))
    with waits(monkeypatch) as found:
        run._one_step(batch)
    assert found == []


@pytest.mark.parametrize("task", ["imagenet", "t2i"])
@pytest.mark.parametrize(
    ("objective", "sampler", "guidance"),
    [
        ("flow", "euler", {"cfg": {"scale": 2.0, "t_min": 0.3}}),
        ("flow", "heun", {"cfg": {"scale": 2.0, "t_max": 0.8}}),
        ("meanflow", "euler", None),
        ("meanflow-cfg-conditioned", "euler", {"cfg-conditioned": {"scale": 2.0}}),
    ],
)
def test_a_sampling_step_does_not_wait(small, monkeypatch, task, objective, sampler, guidance):
    changes = {} if guidance is None else {"guidance": guidance}
    built = pipeline(small, task, objective=objective, sampler={"name": sampler, "steps": 4}, **changes)
    requests = built.task.eval_batch(4)
    condition, null = built.conditioner.encode(requests), built.conditioner.null(4)
    state = State(torch.randn(4, *built.latent.shape))
    velocity_fn = velocity_field(built.objective, built.backbone)
    for wrapper in built.guidance.values():
        velocity_fn = wrapper.wrap(velocity_fn, null)
    steps = list(intervals(built.objective.grid(4), state.latent))
    with torch.no_grad(), waits(monkeypatch) as found:
        for times in steps:
            state = built.sampler._step(built.objective, velocity_fn, state, times, condition)
    assert found == []


def test_waits_are_found(monkeypatch):
    x = torch.arange(3.0)
    for wait, name in (
        (lambda: x[0].item(), "_local_scalar_dense"),
        (lambda: float(x[0]), "_local_scalar_dense"),
        (lambda: bool(x[0] > 1), "_local_scalar_dense"),
        (lambda: x.tolist(), "tolist"),
        (lambda: x.cpu(), "cpu"),
        (lambda: x.nonzero(), "nonzero"),
        (lambda: x[x > 1], "index"),
    ):
        with waits(monkeypatch) as found:
            wait()
        assert found[:1] == [name]
