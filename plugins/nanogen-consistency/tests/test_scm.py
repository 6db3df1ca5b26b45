"""sCM against Algorithm 1 in numpy, the derivative of the consistency function, diffusers' sampler, and tiny runs."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nanogen_consistency.config import ConsistencySamplerConfig, SCMConfig, TrigFlowConfig
from nanogen_consistency.sampler import ConsistencySampler
from nanogen_consistency.scm import SCM
from nanogen_consistency.trigflow import TrigFlow
from nanogen_core import build_pipeline, resolve
from nanogen_core.errors import Incompatible
from nanogen_core.randomness import KeyedRNG
from nanogen_core.sampling import velocity_field
from nanogen_core.specs import ConditionSpec, LatentSpec
from nanogen_core.tensors import Condition, Prediction, State, Times
from nanogen_data import contents
from nanogen_train.logging import metrics_log
from nanogen_train.trainer.loop import Run

LATENT = LatentSpec(2, 4, 4, factor=8)
SPEC = ConditionSpec(width=1, length=1)
CONDITION = Condition(torch.zeros(4, 1, 1))
TRAINING: dict[str, Any] = {"lr": 1e-3}


class Net(nn.Module):
    """F(y, a) = k sin(a) y^2 + b, with heads."""

    def __init__(self) -> None:
        super().__init__()
        self.k, self.b = (nn.Parameter(torch.tensor(x)) for x in (0.4, 0.3))

    def forward(self, state: State, times: Times, condition: Condition) -> Prediction:
        t = times.t.reshape(-1, 1, 1, 1)
        return Prediction(State(self.k * t.sin() * state.latent.square() + self.b))


def _algorithm_1(clean: Tensor, rng: KeyedRNG, std: float, r: float) -> tuple[np.ndarray, ...]:
    """Return y = x / sigma_d, the angle and the normalized tangent of Algorithm 1, for data of deviation 0.5."""
    t = np.arctan(np.exp(-1.0 + 1.4 * rng.normal("time", ()).double().numpy()) / 0.5).reshape(4, 1, 1, 1)
    z, data = (0.5 * x.double().numpy() for x in (rng.normal("noise", LATENT.shape), clean / std))
    x, slope = np.cos(t) * data + np.sin(t) * z, np.cos(t) * z - np.sin(t) * data
    y = x / 0.5
    output = 0.4 * np.sin(t) * y**2 + 0.3
    derivative = 0.4 * np.cos(t) * y**2 + 0.8 * np.sin(t) * y * slope / 0.5  # dF/dt in the direction (dx/dt / 0.5, 1)
    g = -(np.cos(t) ** 2) * (0.5 * output - slope) - r * np.cos(t) * np.sin(t) * (x + 0.5 * derivative)
    norm = np.sqrt((g**2).mean((1, 2, 3), keepdims=True))
    return y, t, g / (norm + 0.1)


@pytest.mark.parametrize("std", [0.5, 1.0])
@pytest.mark.parametrize(("step", "r"), [(0, 0.0), (5, 0.25), (100, 1.0)])
def test_the_gradient_is_that_of_algorithm_1(std: float, step: int, r: float) -> None:
    objective = SCM(SCMConfig(data_std=std, tangent_warmup=20), latent=LATENT, condition=SPEC)
    net, rng = Net(), KeyedRNG(3, range(4), step=step)
    clean = KeyedRNG(1, range(4)).normal("clean", LATENT.shape)
    losses = objective.loss({"student": net}, State(clean), CONDITION, CONDITION, rng)
    losses.total.backward()
    y, t, g = _algorithm_1(clean, rng, std, r)
    assert losses.total.item() == pytest.approx((g**2).mean(), rel=1e-4)
    assert net.b.grad is not None
    assert net.k.grad is not None
    assert net.b.grad.item() == pytest.approx((-2 * g).mean(), rel=1e-3)  # of |F - sg(F) - g|^2
    assert net.k.grad.item() == pytest.approx((-2 * g * np.sin(t) * y**2).mean(), rel=1e-3)
    weight = objective.weight
    assert weight is not None
    assert weight.weight.grad is not None
    error = (g**2).mean((1, 2, 3))  # d/dw of exp(w) error - w at w = 0, whose first feature is 1
    assert weight.weight.grad[0].item() == pytest.approx((error - 1).mean(), rel=1e-3)


def test_the_tangent_is_the_derivative_of_the_consistency_function() -> None:
    """g = cos(a) df/da along the path, from differences of f in float64."""
    objective, net = SCM(SCMConfig(data_std=0.5, tangent_warmup=0), latent=LATENT, condition=SPEC), Net().double()
    clean, noise = (State(KeyedRNG(1, range(4)).normal(name, LATENT.shape).double()) for name in ("clean", "noise"))
    t = torch.tensor([0.1, 0.4, 0.6, 0.95], dtype=torch.float64)
    field = _field(objective, net)

    def consistency(times: Tensor) -> Tensor:
        state = objective.interpolate(clean, noise, times)
        velocity = field(state, Times(times, times))
        return objective.denoised(velocity, state, times).latent

    h = 1e-5
    angle = (np.pi / 2 * t).reshape(-1, 1, 1, 1)
    expected = angle.cos() * (consistency(t + h) - consistency(t - h)) / (np.pi * h)
    inputs, angles = objective.network_inputs(objective.interpolate(clean, noise, t), Times(t, t))
    slope = objective._slope(clean, noise, clean, t, CONDITION, CONDITION)

    def output_fn(z: Tensor, a: Tensor) -> Prediction:
        return net(State(z), Times(a, a), CONDITION)

    from nanogen_meanflow.derivative import JVPInputs, exact

    output = exact(output_fn, JVPInputs(inputs.latent, angles.t, slope))
    tangent = objective.tangent(inputs.latent, output, slope, angles.t, 1.0)
    torch.testing.assert_close(tangent, expected.detach(), rtol=1e-5, atol=1e-7)


def _field(objective: SCM, net: nn.Module) -> Any:
    def field(state: State, times: Times) -> State:
        prediction = net(*objective.network_inputs(state, times), CONDITION)
        return objective.velocity(prediction, state, times).value

    return field


@pytest.mark.parametrize("steps", [1, 2])
def test_the_sampler_is_that_of_diffusers(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from diffusers import SCMScheduler
    from diffusers.schedulers import scheduling_scm

    objective, net, rng = SCM(SCMConfig(data_std=0.5), latent=LATENT, condition=SPEC), Net(), KeyedRNG(5, range(4))
    fresh = rng.normal("consistency.1.4", LATENT.shape)
    monkeypatch.setattr(scheduling_scm, "randn_tensor", lambda *args, **options: fresh)
    scheduler = SCMScheduler(sigma_data=0.5)
    scheduler.set_timesteps(
        steps, max_timesteps=np.pi / 2, intermediate_timesteps=0.7 * np.pi / 2 if steps == 2 else None
    )
    noise = KeyedRNG(0, range(4)).normal("noise", LATENT.shape)
    x = 0.5 * noise
    for timestep in scheduler.timesteps[:-1]:
        angle = timestep.float().expand(4)
        output = net(State(x / 0.5), Times(angle, angle), CONDITION).value.latent
        x, denoised = scheduler.step(0.5 * output, timestep, x, return_dict=False)
    start = objective.interpolate(State(torch.zeros_like(noise)), State(noise), torch.ones(4))
    sampler = ConsistencySampler(ConsistencySamplerConfig())
    ours = sampler.sample(objective, velocity_field(objective, net), start, CONDITION, steps, rng)
    torch.testing.assert_close(ours.latent, denoised.detach().float(), rtol=1e-4, atol=1e-5)


def test_other_numbers_of_steps_use_the_grid() -> None:
    objective = SCM(SCMConfig(), latent=LATENT, condition=SPEC)
    sampler = ConsistencySampler(ConsistencySamplerConfig())
    assert sampler._starts(objective, 1) == [1.0]
    assert sampler._starts(objective, 2) == [1.0, 0.7]
    assert sampler._starts(objective, 4) == [1.0, 0.75, 0.5, 0.25]


def test_wrong_times_are_refused() -> None:
    with pytest.raises(ValueError, match="times: the values must decrease"):
        ConsistencySamplerConfig(times=(0.3, 0.5))


def _scm(small: dict[str, Any], **options: Any) -> dict[str, Any]:
    objective = {"name": "scm", "tangent_warmup": 20, **options}
    return {**small, "method": "scm", "objective": objective, "sampler": "consistency", "optimizer": TRAINING}


@pytest.mark.parametrize("task", ["imagenet", "t2i"])
def test_consistency_training_on_both_tasks(small: dict[str, Any], tmp_path: Path, task: str) -> None:
    """The normalized loss does not fall, so the run must reduce the error of one jump from noise."""
    built = build_pipeline({**_scm(small), "task": task})
    before = _jump_error(built, deepcopy(built.backbone))
    trained = Run(built, tmp_path).train()
    assert _jump_error(trained, trained.backbone) < before
    entries = metrics_log.read(tmp_path)
    assert {"scm", "tangent", "loss"} <= entries[0].keys()
    requests = [0, 1] if task == "imagenet" else ["a red circle", "a star"]
    one, two = (trained.generate(requests, steps=steps, tensors=True) for steps in (1, None))
    assert one.shape == two.shape == (2, 3, 16, 16)
    assert not torch.equal(one, two)


@torch.no_grad()
def _jump_error(pipeline: Any, net: nn.Module) -> float:
    """Mean squared error of the data that one evaluation predicts, at t = 0.5."""
    batch = next(iter(pipeline.task.batches("train", 32)))
    clean = State(pipeline.tokenizer.encode(batch.images).float())
    noise, t = State(KeyedRNG(9, range(32)).normal("noise", clean.latent.shape[1:])), torch.full((32,), 0.5)
    found = pipeline.objective.forward_at(net, clean, noise, t, pipeline.conditioner.encode(batch))
    return float((found.denoised.latent - clean.latent).square().mean())


@pytest.mark.parametrize("task", ["imagenet", "t2i"])
def test_distillation_on_both_tasks(small: dict[str, Any], tmp_path: Path, task: str) -> None:
    teacher = Run(build_pipeline({**small, "task": task}), tmp_path / "teacher").train()
    config = _scm(small, teacher=str(tmp_path / "teacher"), teacher_scale=2.0)
    config["train"] = {**small["train"], "steps": 4}
    built = build_pipeline({**config, "task": task})
    trained = Run(built, tmp_path / "student").train()
    assert not [name for name in built.objective.state_dict() if "teacher" in name]
    assert trained.generate([0] if task == "imagenet" else ["a star"], tensors=True).isfinite().all()
    own = built.objective.teacher.pipeline.backbone.state_dict()
    assert all(torch.equal(value, own[name]) for name, value in teacher.backbone.state_dict().items())


def test_the_teachers_velocity_is_guided_by_hand(small: dict[str, Any], tmp_path: Path) -> None:
    pipeline = build_pipeline(small)
    for parameter in pipeline.backbone.parameters():
        nn.init.normal_(parameter, std=0.2)
    pipeline.save(tmp_path)
    built = build_pipeline(_scm(small, teacher=str(tmp_path), teacher_scale=3.0))
    batch = built.task.make_batch([1, 2])
    condition, null = built.conditioner.encode(batch), built.conditioner.null(2)
    condition = condition._replace(null=torch.tensor([False, True]))
    state = State(KeyedRNG(0, range(2)).normal("x", built.latent.shape))
    t = torch.tensor([0.3, 0.8])
    angle = Times(np.pi / 2 * t, np.pi / 2 * t)
    with torch.no_grad():
        net = pipeline.backbone.eval()
        own, empty = (np.pi / 2 * net(state, angle, c).value.latent for c in (condition, null))  # sigma_d = 1
    found = built.objective.teacher.velocity(state, Times(t, t), condition, null)
    torch.testing.assert_close(found[0], (empty + 3 * (own - empty))[0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found[1], own[1], rtol=1e-4, atol=1e-5)


def test_the_weights_of_the_teacher_are_in_the_fingerprint(small: dict[str, Any], tmp_path: Path) -> None:
    pipeline = build_pipeline(small)
    pipeline.save(tmp_path)
    built = build_pipeline(_scm(small, teacher=str(tmp_path)))
    before = contents.configuration(built.config)["objective"]["teacher"]
    (tmp_path / "log.jsonl").write_text("{}\n", encoding="utf-8")
    assert contents.configuration(built.config)["objective"]["teacher"] == before != str(tmp_path)
    nn.init.normal_(next(pipeline.backbone.parameters()))
    pipeline.save(tmp_path)
    assert contents.configuration(built.config)["objective"]["teacher"] != before
    parts = (built.objective.teacher.pipeline.backbone, built.objective.teacher.pipeline.tokenizer)
    assert not any(p.requires_grad for part in parts if isinstance(part, nn.Module) for p in part.parameters())


def test_another_teacher_is_refused(small: dict[str, Any], tmp_path: Path) -> None:
    build_pipeline({**small, "method": "vae"}).save(tmp_path / "flow")
    with pytest.raises(Incompatible, match=r"trained with the objective 'flow'.*'trigflow'"):
        build_pipeline(_scm(small, teacher=str(tmp_path / "flow")))
    build_pipeline(_scm(small)).save(tmp_path / "scm")
    with pytest.raises(Incompatible, match=r"trained with the objective 'scm'.*'trigflow'"):
        build_pipeline(_scm(small, teacher=str(tmp_path / "scm")))
    build_pipeline({**small, "objective": {"name": "trigflow", "data_std": 0.7}}).save(tmp_path / "other")
    with pytest.raises(Incompatible, match="the latents, conditions or"):
        build_pipeline(_scm(small, teacher=str(tmp_path / "other")))


def test_combinations_that_cannot_work_are_refused(small: dict[str, Any]) -> None:
    with pytest.raises(Incompatible, match=r"'consistency' jumps.*'trigflow'"):
        resolve({**small, "sampler": "consistency"})
    resolve({**small, "method": "meanflow", "sampler": "consistency"})
    with pytest.raises(Incompatible, match=r"'heun' needs an objective that provides 'instantaneous-velocity'"):
        resolve({**_scm(small), "sampler": "heun"})
    compiled = {**small["train"], "compile": "blocks"}
    with pytest.raises(Incompatible, match=r"torch.compile"):
        resolve({**_scm(small), "train": compiled})
    resolve({**_scm(small, derivative="forward"), "train": compiled})
    with pytest.raises(Incompatible, match=r"class token \(REG\)"):
        resolve({**_scm(small), "auxiliary": {"reg": {"teacher": "openmoji-classifier", "token": "mean"}}})


def test_an_sCM_starts_from_a_trigflow(small: dict[str, Any]) -> None:  # noqa: N802
    """Both have the same network and the same output F."""
    names = [build_pipeline(config).backbone.state_dict().keys() for config in (small, _scm(small))]
    assert names[0] == names[1]
    t = torch.tensor([0.2, 0.5, 0.7, 0.9])
    state = State(KeyedRNG(0, range(4)).normal("x", LATENT.shape))
    velocities = [
        velocity_field(objective, Net())(state, Times(t, t), CONDITION).value.latent
        for objective in (TrigFlow(TrigFlowConfig(), latent=LATENT), SCM(SCMConfig(), latent=LATENT, condition=SPEC))
    ]
    assert torch.equal(*velocities)
