"""AlphaFlow against its equations in numpy, its limits, the published schedule, and tiny runs on both tasks."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nanogen_alphaflow.config import AlphaFlowConfig
from nanogen_alphaflow.objective import AlphaFlow
from nanogen_core import build_pipeline, resolve
from nanogen_core.errors import Incompatible
from nanogen_core.randomness import KeyedRNG
from nanogen_core.specs import LatentSpec
from nanogen_core.tensors import Condition, Prediction, State, Times, where_null
from nanogen_core.testing import ObjectiveContract, PluginContract
from nanogen_meanflow.config import MeanFlowConfig
from nanogen_meanflow.meanflow import MeanFlow
from nanogen_train.logging import metrics_log
from nanogen_train.trainer.loop import Run

LATENT = LatentSpec(2, 4, 4, factor=16)
ROWS = 8
CONDITION, NULL = Condition(torch.ones(ROWS, 1, 1)), Condition(torch.zeros(ROWS, 1, 1))
MIDDLE = {"alpha_start": 0, "alpha_end": 100}  # at step 40, alpha = sigmoid(2.5)


class TestPlugin(PluginContract):
    @pytest.fixture
    def manifest(self) -> str:
        return "nanogen_alphaflow.plugin"


class TestFlowMatching(ObjectiveContract):
    """alpha = 1."""

    @pytest.fixture
    def objective(self) -> AlphaFlow:
        return AlphaFlow(AlphaFlowConfig(clamp=None), latent=self.latent)


class TestMiddle(ObjectiveContract):
    """alpha = 1/2."""

    @pytest.fixture
    def objective(self) -> AlphaFlow:
        return AlphaFlow(AlphaFlowConfig(alpha_gamma=1e-9, clamp=None), latent=self.latent)


class TestMeanFlow(ObjectiveContract):
    """alpha = 0."""

    @pytest.fixture
    def objective(self) -> AlphaFlow:
        return AlphaFlow(AlphaFlowConfig(alpha_end=0), latent=self.latent)


class Net(nn.Module):
    """u = k z^2 (t + 2 r) + b given a condition, and c z without one."""

    def __init__(self) -> None:
        super().__init__()
        self.k, self.b, self.c = (nn.Parameter(torch.tensor(x)) for x in (0.4, 0.3, -0.5))

    def forward(self, state: State, times: Times, condition: Condition) -> Prediction:
        t, r, given = (x.reshape(-1, 1, 1, 1) for x in (times.t, times.r, condition.tokens[:, 0, 0]))
        conditional = self.k * state.latent.square() * (t + 2 * r) + self.b
        return Prediction(State(given * conditional + (1 - given) * self.c * state.latent))


def _u(z: np.ndarray, t: np.ndarray, r: np.ndarray) -> np.ndarray:
    return 0.4 * z**2 * (t + 2 * r) + 0.3


def _column(values: Tensor) -> np.ndarray:
    return values.double().numpy().reshape(-1, 1, 1, 1)


def _by_hand(objective: AlphaFlow, clean: Tensor, rng: KeyedRNG, alpha: float, dropped: np.ndarray) -> tuple[Any, ...]:
    """Return the loss of each sample and the derivative of the mean loss by b, from the equations of the paper."""
    config = objective.config
    rows = objective.has_interval(rng).rows
    t, r = (_column(x) for x in objective.times(rng, rows))
    interval, drop = _column(rows) > 0, dropped.reshape(-1, 1, 1, 1)
    x, noise = clean.double().numpy(), rng.normal("noise", LATENT.shape).double().numpy()
    z, v = (1 - t) * x + t * noise, (t * (noise - x)) / np.maximum(t, 0.05)
    guided = config.omega * v + config.kappa * _u(z, t, t) + (1 - config.omega - config.kappa) * -0.5 * z
    v = np.where((t > config.t_min) & (t < config.t_max) & ~drop, guided, v)
    output = np.where(drop, -0.5 * z, _u(z, t, r))
    if alpha > 0:
        h = alpha * (t - r)
        earlier = z - h * v
        after = np.where(drop, -0.5 * earlier, _u(earlier, t - h, r))
        target = np.clip(alpha * v + (1 - alpha) * after, -4, 4)
    else:
        slope = np.where(drop, -0.5 * v, 0.8 * z * v * (t + 2 * r) + 0.4 * z**2)  # du/dt in the direction (v, 1, 0)
        target = v - (t - r) * slope
    target = np.where(interval, target, v)
    error = ((output - target) ** 2).mean((1, 2, 3))
    factor = np.where(interval.ravel() & (alpha > 0), alpha, 1.0) / (error + 1e-3)
    of_b = (factor.reshape(-1, 1, 1, 1) * 2 * (output - target) * ~drop).mean()
    return factor * error, of_b, interval


@pytest.mark.parametrize(
    ("step", "alpha"), [(0, 1.0), (40, 1 / (1 + math.exp(-2.5))), (60, 1 / (1 + math.exp(2.5))), (100, 0.0)]
)
@pytest.mark.parametrize("guidance", [{}, {"omega": 0.2, "kappa": 0.5, "t_min": 0.3, "t_max": 0.8}])
def test_the_loss_and_its_gradient_by_hand(step: int, alpha: float, guidance: dict[str, float]) -> None:
    objective, net = AlphaFlow(AlphaFlowConfig(**MIDDLE, **guidance), latent=LATENT), Net()
    rng, clean = KeyedRNG(3, range(ROWS), step=step), KeyedRNG(1, range(ROWS)).normal("clean", LATENT.shape)
    dropped = torch.arange(ROWS) % 3 == 2
    condition = where_null(dropped, CONDITION, NULL)
    losses = objective.loss({"student": net}, State(clean), condition, NULL, rng)
    losses.total.backward()
    expected, of_b, interval = _by_hand(objective, clean, rng, alpha, dropped.numpy())
    assert 0 < interval.sum() < ROWS
    assert losses.parts["alpha"].item() == pytest.approx(alpha)
    assert losses.total.item() == pytest.approx(expected.mean(), rel=1e-4)
    assert net.b.grad is not None
    assert net.b.grad.item() == pytest.approx(of_b, rel=1e-3)


def test_the_end_of_the_curriculum_is_meanflow() -> None:
    """With the same weighting, the objective of nanogen-meanflow has the same loss at the same times."""
    options: dict[str, Any] = {"kappa": 0.5, "probability": 0.5, "mix": "sample"}
    size = LATENT.dimension
    alphaflow = AlphaFlow(AlphaFlowConfig(**options, alpha_end=0), latent=LATENT)
    meanflow = MeanFlow(MeanFlowConfig(**options, norm_eps=1e-3 * size), latent=LATENT)  # it sums over the latent
    clean = State(KeyedRNG(1, range(ROWS)).normal("clean", LATENT.shape))
    totals = [
        objective.loss({"student": Net()}, clean, CONDITION, NULL, KeyedRNG(3, range(ROWS), step=7)).total.item()
        for objective in (alphaflow, meanflow)
    ]
    assert totals[0] == pytest.approx(totals[1], rel=1e-4)


def test_a_small_alpha_approaches_the_meanflow_target() -> None:
    """The fixed point of the discrete target: (u - target) / alpha tends to u + (t - r) du/dt - v."""
    objective, net = AlphaFlow(AlphaFlowConfig(clamp=None, probability=1.0), latent=LATENT), Net().double()
    clean, noise = (State(KeyedRNG(1, range(ROWS)).normal(name, LATENT.shape).double()) for name in ("x", "n"))
    t, r = torch.linspace(0.4, 0.9, ROWS).double(), torch.linspace(0.1, 0.3, ROWS).double()
    inputs = objective.make_inputs(net, clean, noise, Times(t, r), CONDITION.map(torch.Tensor.double), NULL)
    rows = objective.has_interval(KeyedRNG(0, range(ROWS)))
    alpha = 1e-6
    with torch.no_grad():
        prediction, near = objective.prediction_and_target(inputs, alpha, rows)
    _, end = objective.prediction_and_target(inputs, 0.0, rows)
    u = prediction.value.latent
    torch.testing.assert_close((u - near) / alpha, u - end.detach(), rtol=1e-4, atol=1e-5)


def test_the_schedule_is_that_of_the_public_code() -> None:
    """Its sigmoid, with the values of its configuration for 400,000 steps: 1 + (0 - 1) / (1 + exp(-25 progress))."""
    config = AlphaFlowConfig()
    for step in (0, 100_000, 115_000, 150_000, 200_000, 284_000, 285_000, 400_000, 500_000):
        value = 1 - 1 / (1 + math.exp(-25 * (step - 200_000) / 400_000))
        expected = 0.0 if value < 0.005 or step > 400_000 else 1.0 if value > 0.995 else value
        assert config.alpha(step) == pytest.approx(expected, abs=1e-12)
    assert config.alpha(200_000) == 0.5
    late = AlphaFlowConfig(alpha_start=600_000, alpha_end=1_000_000)
    assert (late.alpha(599_999), late.alpha(800_000), late.alpha(1_000_001)) == (1.0, 0.5, 0.0)


@pytest.mark.parametrize(("step", "calls"), [(0, 1), (50, 2), (200, 1)])
def test_only_the_middle_needs_another_evaluation(step: int, calls: int) -> None:
    objective, count = AlphaFlow(AlphaFlowConfig(**MIDDLE), latent=LATENT), 0
    net = Net()

    def counted(*args: Any) -> Prediction:
        nonlocal count
        count += 1
        return net(*args)

    clean = State(KeyedRNG(1, range(ROWS)).normal("clean", LATENT.shape))
    objective.loss({"student": counted}, clean, CONDITION, NULL, KeyedRNG(3, range(ROWS), step=step))
    assert count == calls


@pytest.mark.parametrize("task", ["imagenet", "t2i"])
def test_the_error_falls_on_both_tasks(small: dict[str, Any], tmp_path: Path, task: str) -> None:
    """The targets change with alpha, so the errors of flow matching are compared at the same times and noise."""
    built = build_pipeline({**small, "task": task})
    before = _error(built)
    trained = Run(built, tmp_path).train()
    entries = metrics_log.read(tmp_path)
    assert [entries[n]["alpha"] for n in (0, 10, 39)] == [1.0, 0.5, 0.0]
    assert _error(trained) < 0.9 * before
    requests = [0, 1] if task == "imagenet" else ["a red circle", "a star"]
    one, two = (trained.generate(requests, steps=steps, tensors=True) for steps in (None, 2))
    assert one.shape == two.shape == (2, 3, 16, 16)
    assert not torch.equal(one, two)


@torch.no_grad()
def _error(pipeline: Any) -> float:
    batch = next(iter(pipeline.task.batches("train", 32)))
    clean, noise = State(pipeline.tokenizer.encode(batch.images).float()), KeyedRNG(9, range(32))
    latent = State(noise.normal("noise", pipeline.latent.shape))
    t, condition = torch.linspace(0.2, 0.9, 32), pipeline.conditioner.encode(batch)
    return float(pipeline.objective.flow.loss_at(pipeline.backbone, clean, latent, t, condition).mean())


def test_combinations_that_cannot_work_are_refused(small: dict[str, Any]) -> None:
    with pytest.raises(Incompatible, match=r"class token \(REG\)"):
        resolve({**small, "auxiliary": {"reg": {"teacher": "openmoji-classifier", "token": "mean"}}})
    with pytest.raises(Incompatible, match=r"torch.compile.*`derivative: forward`"):
        resolve({**small, "train": {**small["train"], "compile": "blocks"}})
    with pytest.raises(ValueError, match="alpha_end: must be at least alpha_start"):
        AlphaFlowConfig(alpha_start=10, alpha_end=5)


def test_a_run_that_would_end_before_alpha_falls_is_refused() -> None:
    """alpha is 1 until step 115,328 of 400,000: 1 - sigmoid(25 (0.28832 - 1/2)) = 0.995."""
    config: dict[str, Any] = {"task": "imagenet", "method": "alphaflow"}
    with pytest.raises(Incompatible, match=r"Set objective\.alpha_end to 100000 or less\."):
        resolve({**config, "train": {"steps": 100_000}})
    resolve({**config, "train": {"steps": 200_000}})


def test_the_method_trains_as_long_as_alpha_falls() -> None:
    built = resolve({"task": "imagenet", "method": "alphaflow"})
    assert built.sections["train"].steps == AlphaFlowConfig().alpha_end
