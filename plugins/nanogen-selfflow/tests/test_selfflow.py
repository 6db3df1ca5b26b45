"""Self-Flow against its equations in numpy, its contracts, and tiny runs on both tasks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nanogen_core import Pipeline, build_pipeline, resolve
from nanogen_core.errors import Incompatible, NanoGenError
from nanogen_core.randomness import KeyedRNG
from nanogen_core.specs import ConditionSpec, LatentSpec
from nanogen_core.tensors import Batch, Condition, ForwardPass, Prediction, State, Times
from nanogen_core.testing import ObjectiveContract, PluginContract
from nanogen_core.testing.comparison import LATENT as CONTRACT_LATENT
from nanogen_dit.config import LightningDiTConfig
from nanogen_dit.lightning_dit import LightningDiT
from nanogen_selfflow.alignment import SelfAlignment
from nanogen_selfflow.config import SelfAlignmentConfig, SelfFlowConfig
from nanogen_selfflow.objective import SelfFlow
from nanogen_train.checkpoint import checkpoint
from nanogen_train.logging import metrics_log
from nanogen_train.testing import AuxiliaryContract
from nanogen_train.trainer.loop import Run

LATENT = LatentSpec(2, 8, 8, factor=8)
SPEC = ConditionSpec(width=3, length=1)


def _backbone(latent: LatentSpec, depth: int = 1) -> LightningDiT:
    torch.manual_seed(0)
    config = LightningDiTConfig(hidden=16, depth=depth, heads=1, patch_size=2)
    net = LightningDiT(config, latent=latent, condition=SPEC)
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.3)
    return net


def _objective(latent: LatentSpec = LATENT, **options: Any) -> SelfFlow:
    return SelfFlow(SelfFlowConfig(**options), latent=latent, backbone=_backbone(latent), condition=SPEC)


class TestPlugin(PluginContract):
    @pytest.fixture
    def manifest(self) -> str:
        return "nanogen_selfflow.plugin"


class TestSelfFlow(ObjectiveContract):
    @pytest.fixture
    def objective(self) -> SelfFlow:
        return _objective(CONTRACT_LATENT, time_mean=1.0)


class TestDataPrediction(ObjectiveContract):
    predicts = "data"

    @pytest.fixture
    def objective(self) -> SelfFlow:
        return _objective(CONTRACT_LATENT, time_mean=1.0, prediction="x")


class TestAlignment(AuxiliaryContract):
    @pytest.fixture
    def pipeline(self, small: dict[str, Any]) -> Pipeline:
        return build_pipeline(small)


def _cells(token_times: Tensor) -> np.ndarray:
    """Times [B, 16] of 2 x 2 patches as [B, 1, 8, 8], by numpy's Kronecker product."""
    grids = token_times.double().numpy().reshape(-1, 4, 4)
    return np.stack([np.kron(grid, np.ones((2, 2))) for grid in grids])[:, None]


def test_the_loss_by_hand() -> None:
    objective, rng = _objective(shift=1.0), KeyedRNG(3, range(6), step=2)
    clean = KeyedRNG(1, range(6)).normal("clean", LATENT.shape)
    seen: list[tuple[State, Times]] = []

    def net(state: State, times: Times, condition: Condition) -> Prediction:
        seen.append((state, times))
        return Prediction(State(0.5 * state.latent))

    condition = Condition(torch.zeros(6, 1, 3))
    losses = objective.loss({"student": net}, State(clean), condition, condition, rng)  # type: ignore[dict-item]
    first, second = (1 / (1 + np.exp(-rng.normal(name, ()).numpy())) for name in ("time", "self-flow.time"))
    ((state, times),) = seen
    assert times.t.shape == (6, 16)
    for row in range(6):
        is_second = np.isclose(times.t[row], second[row])
        assert is_second.sum() == 4  # a quarter of the tokens
        assert np.allclose(times.t[row][~is_second], first[row])
    t, noise = _cells(times.t), rng.normal("noise", LATENT.shape).double().numpy()
    x = (1 - t) * clean.double().numpy() + t * noise
    np.testing.assert_allclose(state.latent, x, atol=1e-5)
    expected = ((0.5 * x - (x - clean.double().numpy()) / np.maximum(t, 0.05)) ** 2).mean()
    assert losses.total.item() == pytest.approx(expected, rel=1e-4)


def test_every_token_is_masked_alike() -> None:
    objective, counts = _objective(mask_ratio=0.25), torch.zeros(16)
    for step in range(50):
        mask = objective.mask(KeyedRNG(0, range(64), step=step))
        assert (mask.sum(dim=1) == 4).all()
        counts += mask.float().mean(dim=0) / 50
    assert (counts - 0.25).abs().max() < 0.04  # the standard deviation is 0.0077


@pytest.mark.parametrize(("ratio", "count"), [(0.001, 1), (0.999, 15), (0.5, 8)])
def test_both_times_are_used(ratio: float, count: int) -> None:
    assert (_objective(mask_ratio=ratio).mask(KeyedRNG(0, range(4))).sum(dim=1) == count).all()


class Recorder:
    """A network that records its calls and returns fixed block outputs."""

    def __init__(self, features: Tensor):
        self.features, self.calls = features, []  # type: ignore[var-annotated]

    def __call__(
        self, state: State, times: Times, condition: Condition, intermediates: Sequence[str] = ()
    ) -> Prediction:
        self.calls.append((state, times, condition, torch.is_grad_enabled()))
        return Prediction(state, dict.fromkeys(intermediates, self.features))


def test_both_times_may_be_uniform() -> None:
    times = _objective(time_mean=None, shift=1.0).times(KeyedRNG(0, range(4000)))
    for each in (times.amin(dim=1), times.amax(dim=1)):  # F(t) = 1 - (1 - t)^2 and t^2
        assert each.std().item() == pytest.approx(18**-0.5, rel=0.05)
    both = (times.amin(dim=1) + times.amax(dim=1)) / 2
    assert both.mean().item() == pytest.approx(0.5, abs=0.02)


def test_the_alignment_by_hand() -> None:
    """The teacher sees all tokens at the smaller time, with the noise and condition of the student."""
    objective = _objective()
    config = SelfAlignmentConfig(block=1, teacher_block=2, weight=0.8)
    loss = SelfAlignment(
        config, backbone=_backbone(LATENT, depth=2), latent=LATENT, condition=SPEC, objective=objective
    )
    rng = KeyedRNG(0, range(3))
    clean, noise = (rng.normal(name, LATENT.shape) for name in ("clean", "noise"))
    times = torch.rand(3, 16, generator=torch.Generator().manual_seed(0))
    student, target = (rng.normal(name, (16, 16)) for name in ("student", "teacher"))
    state, condition = State(clean), Condition(torch.ones(3, 1, 3))
    prediction = Prediction(state, {"block.1": student})
    forward_pass = ForwardPass(state, Times(times, times), prediction, state, State(noise), condition)
    teacher = Recorder(target)
    losses = loss.loss(forward_pass, State(clean), Batch(torch.arange(3)), {"ema": teacher}, rng)  # type: ignore[dict-item]
    ((seen, at, given, grad),) = teacher.calls
    least = times.numpy().min(axis=1)
    np.testing.assert_array_equal(at.t, least)
    mixed = (1 - least.reshape(3, 1, 1, 1)) * clean.numpy() + least.reshape(3, 1, 1, 1) * noise.numpy()
    np.testing.assert_allclose(seen.latent, mixed, atol=1e-6)
    assert given is condition
    assert not grad
    first, _, last = loss.nets
    hidden = student.numpy() @ first.weight.detach().numpy().T + first.bias.detach().numpy()
    assert hidden.shape[-1] == 32  # D + E
    out = (hidden / (1 + np.exp(-hidden))) @ last.weight.detach().numpy().T + last.bias.detach().numpy()
    dots = (out * target.numpy()).sum(-1) / np.linalg.norm(out, axis=-1) / np.linalg.norm(target.numpy(), axis=-1)
    assert losses.total.item() == pytest.approx(0.8 * (1 - dots.mean()), rel=1e-4)
    assert losses.parts["cosine"].item() == pytest.approx(dots.mean(), rel=1e-3)


def test_a_flow_with_one_time_aligns_at_that_time(small: dict[str, Any]) -> None:
    pipeline = build_pipeline({**small, "objective": "flow"})
    contract = TestAlignment()
    assert contract.loss_of(pipeline).total.isfinite()


@pytest.mark.parametrize("task", ["imagenet", "t2i"])
def test_both_losses_fall_on_both_tasks(small: dict[str, Any], tmp_path: Path, task: str) -> None:
    trained = Run(build_pipeline({**small, "task": task}), tmp_path).train()
    entries = metrics_log.read(tmp_path)
    flow, cosine = ([entry[name] for entry in entries] for name in ("flow", "self-flow.cosine"))
    assert sum(flow[-8:]) < 0.9 * sum(flow[:8])
    assert cosine[-1] > cosine[0] + 0.1
    assert entries[0]["loss"] == pytest.approx(flow[0] + 0.8 * (1 - cosine[0]), rel=1e-4)
    requests = [0, 1] if task == "imagenet" else ["a red circle", "a star"]
    assert trained.generate(requests, tensors=True).shape == (2, 3, 16, 16)
    assert "self-flow.0.weight" in checkpoint.load(tmp_path, 40)[0]["nets"]


def test_the_teacher_of_a_run_is_the_averaged_network(small: dict[str, Any], tmp_path: Path) -> None:
    run = Run(build_pipeline(small), tmp_path)
    stage, generator = run.stage, torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in stage.nets["ema"].parameters():
            parameter.normal_(std=0.2, generator=generator)
    auxiliary = stage.auxiliaries["self-flow"]
    inner, cosines = auxiliary.loss, []

    def loss(found: ForwardPass, clean: State, *rest: Any) -> Any:
        losses, t = inner(found, clean, *rest), found.times.t.amin(dim=1)
        assert (found.times.t.amax(dim=1) > t).all()
        state = State(torch.lerp(clean.latent, found.noise.latent, t.reshape(-1, 1, 1, 1)))
        with torch.no_grad():
            output = stage.nets["ema"](state, Times(t, t), found.condition, intermediates=("block.2",))
            projected = auxiliary.nets(found.prediction.features["block.1"])
        expected = F.cosine_similarity(projected, output.features["block.2"], dim=-1).mean()
        cosines.append((losses.parts["cosine"].item(), expected.item()))
        return losses

    auxiliary.loss = loss
    run.first_step()
    assert cosines
    assert all(found == pytest.approx(expected, abs=1e-5) for found, expected in cosines)


def test_the_method_has_the_teacher_of_the_reproductions() -> None:
    def decay(**options: Any) -> float:
        resolved = resolve({"task": "imagenet", "dataset": "openmoji", "method": "self-flow", **options})
        found: float = resolved.slots["stage"].config.ema_decay
        return found

    assert decay() == 0.9999
    assert decay(stage={"name": "diffusion", "ema_decay": 0.99}) == 0.99


def test_combinations_that_cannot_work_are_refused(small: dict[str, Any]) -> None:
    with pytest.raises(Incompatible, match=r"class token \(REG\)"):
        resolve({**small, "auxiliary": {"reg": {"teacher": "openmoji-classifier", "token": "mean"}}})
    deep = {**small, "auxiliary": {"self-flow": {"block": 1, "teacher_block": 20}}}
    with pytest.raises(NanoGenError, match=r"'block.20'"):
        _ = build_pipeline(deep).parts["auxiliaries"]["self-flow"]
    with pytest.raises(Incompatible, match="at least two image tokens"):
        _ = build_pipeline({**small, "backbone": {**small["backbone"], "patch_size": 2}}).objective


def test_a_perceptual_loss_takes_samples_whose_tokens_are_all_below() -> None:
    from nanogen_pixel.config import LpipsConfig
    from nanogen_pixel.early import mean_over_batch

    t = torch.tensor([[0.1, 0.2], [0.1, 0.8], [0.9, 0.8]])
    state = State(torch.zeros(3, 1, 2, 1))
    found = ForwardPass(state, Times(t, t), Prediction(state), state, state, Condition(torch.zeros(3, 1, 1)))
    losses = mean_over_batch(found, LpipsConfig(below=0.5, weight=1.0), torch.tensor([3.0, 5.0, 7.0]))
    assert losses.total.item() == 1.0  # of the first sample alone: 3 / 3
