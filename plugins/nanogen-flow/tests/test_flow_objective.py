"""The flow objective against its equations, evaluated in numpy."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nanogen_core.errors import ConfigError
from nanogen_core.protocols import Objective
from nanogen_core.randomness import KeyedRNG
from nanogen_core.specs import LatentSpec
from nanogen_core.tensors import Condition, Prediction, State, Times
from nanogen_files.structure import structure
from nanogen_flow.config import FlowConfig
from nanogen_flow.objective import Flow
from nanogen_flow.times import sampling_grid, shifted

LATENT = LatentSpec(2, 3, 3, factor=16)
CONDITION = Condition(torch.zeros(4, 1, 1))
T = torch.tensor([0.01, 0.2, 0.5, 1.0])


class Fake(nn.Module):
    """A network that predicts a function of the state and records its last inputs."""

    def __init__(self, predict: Callable[[State, Times], Prediction]):
        super().__init__()
        self.predict = predict

    def forward(self, state: State, times: Times, condition: Condition) -> Prediction:
        self.state, self.times = state, times
        return self.predict(state, times)


def _states(cls_token: int = 0) -> tuple[State, State]:
    generator = torch.Generator().manual_seed(0)

    def state() -> State:
        latent = torch.randn(4, 2, 3, 3, generator=generator)
        return State(latent, torch.randn(4, cls_token, generator=generator) if cls_token else None)

    return state(), state()


def _mean(errors: np.ndarray) -> np.ndarray:
    return (errors**2).reshape(4, -1).mean(1)


def test_it_is_an_objective() -> None:
    assert isinstance(Flow(FlowConfig(), latent=LATENT), Objective)


def test_velocity_loss_by_hand() -> None:
    clean, noise = _states()
    net = Fake(lambda state, times: Prediction(State(0.5 * state.latent)))
    loss = Flow(FlowConfig(), latent=LATENT).loss_at(net, clean, noise, T, CONDITION)
    x, n, t = (a.numpy() for a in (clean.latent, noise.latent, T.reshape(4, 1, 1, 1)))
    x_t = (1 - t) * x + t * n
    expected = _mean(0.5 * x_t - (x_t - x) / np.maximum(t, 0.05))
    assert np.allclose(loss, expected, rtol=1e-5)
    assert torch.equal(net.times.t, net.times.r)


def test_x_loss_by_hand() -> None:
    clean, noise = _states()
    net = Fake(lambda state, times: Prediction(State(0.5 * state.latent)))
    loss = Flow(FlowConfig(prediction="x"), latent=LATENT).loss_at(net, clean, noise, T, CONDITION)
    x, n, t = (a.numpy() for a in (clean.latent, noise.latent, T.reshape(4, 1, 1, 1)))
    x_t = (1 - t) * x + t * n
    expected = _mean((0.5 * x_t - x) / np.maximum(t, 0.05))
    assert np.allclose(loss, expected, rtol=1e-4)


@pytest.mark.parametrize("prediction", ["velocity", "x"])
def test_the_true_prediction_has_zero_loss(prediction: str) -> None:
    clean, noise = _states(cls_token=5)
    truth = {
        "x": lambda state, times: Prediction(clean),
        "velocity": lambda state, times: Prediction(flow.target_velocity(clean, state, times.t)),
    }
    flow = Flow(FlowConfig(prediction=prediction), latent=LATENT)
    losses = flow.losses_at(Fake(truth[prediction]), clean, noise, T, CONDITION)
    assert losses.keys() == {"flow", "cls_token"}
    assert all(float(loss.max()) < 1e-9 for loss in losses.values())


def test_above_t_eps_the_velocity_is_noise_minus_data() -> None:
    clean, noise = _states()
    flow = Flow(FlowConfig(), latent=LATENT)
    velocity = flow.target_velocity(clean, flow.interpolate(clean, noise, T), T)
    difference = noise.latent - clean.latent
    assert torch.allclose(velocity.latent[1:], difference[1:], atol=1e-5)
    assert torch.allclose(velocity.latent[0], difference[0] * 0.01 / 0.05, atol=1e-5)


def test_the_total_weighs_latent_class_token_and_heads() -> None:
    clean, _ = _states(cls_token=5)
    half = Fake(lambda state, times: Prediction(state, heads={"internal": State(2 * state.latent)}))
    latent = LatentSpec(2, 3, 3, cls_token_width=5)
    flow = Flow(FlowConfig(cls_token_weight=0.1, internal_weight=2.0), latent=latent)
    losses = flow.loss({"student": half}, clean, CONDITION, CONDITION, KeyedRNG(0, range(4)))
    assert losses.parts.keys() == {"flow", "cls_token", "internal"}
    total = losses.parts["flow"] + 0.1 * losses.parts["cls_token"] + 2 * losses.parts["internal"]
    assert torch.allclose(losses.total, total)


def test_a_sample_draws_the_same_numbers_in_any_batch() -> None:
    clean, _ = _states()
    net = Fake(lambda state, times: Prediction(state))
    flow = Flow(FlowConfig(), latent=LATENT)
    flow.loss({"student": net}, clean, CONDITION, CONDITION, KeyedRNG(3, range(4), step=5))
    state, times = net.state, net.times
    flow.loss({"student": net}, State(clean.latent[2:]), CONDITION, CONDITION, KeyedRNG(3, (2, 3), step=5))
    assert torch.equal(net.state.latent, state.latent[2:])
    assert torch.equal(net.times.t, times.t[2:])


def test_times_are_logit_normal_before_the_shift() -> None:
    flow = Flow(FlowConfig(time_mean=-1.1, time_std=0.8, shift=3.0), latent=LATENT)
    t = flow.times(KeyedRNG(0, range(4000)))
    logits = torch.logit(t / (3 - 2 * t))  # the inverse of the shift
    assert abs(float(logits.mean()) + 1.1) < 0.05
    assert abs(float(logits.std()) - 0.8) < 0.03


def test_times_without_a_mean_are_uniform_before_the_shift() -> None:
    """The Kolmogorov-Smirnov distance to F(t) = t / (3 - 2 t), the uniform times after a shift of 3."""
    t = np.sort(Flow(FlowConfig(time_mean=None, shift=3.0), latent=LATENT).times(KeyedRNG(0, range(4000))).numpy())
    expected = t / (3 - 2 * t)
    ranks = np.arange(len(t) + 1) / len(t)
    distance = max(np.abs(expected - ranks[1:]).max(), np.abs(expected - ranks[:-1]).max())
    assert distance < 1.95 / len(t) ** 0.5  # of 1000 samples of this distribution, one is further away


def test_uniform_times_have_no_deviation() -> None:
    with pytest.raises(ConfigError, match=r"objective.*time_std: uniform times \(time_mean: null\) have no deviation"):
        structure({"time_mean": None, "time_std": 0.8}, FlowConfig, "objective")


def test_the_shift_is_derived_from_the_latent() -> None:
    assert Flow(FlowConfig(), latent=LatentSpec(4, 32, 32)).shift == 1.0
    flow = Flow(FlowConfig(), latent=LatentSpec(768, 16, 16))
    assert flow.shift == flow.sample_shift == pytest.approx(6.928, abs=1e-3)
    pixels = Flow(FlowConfig(sample_shift=1.0), latent=LatentSpec(3, 256, 256))
    assert (round(pixels.shift, 3), pixels.sample_shift) == (6.928, 1.0)


def test_the_shift_multiplies_the_odds_of_noise() -> None:
    t = torch.linspace(0.01, 0.99, 50, dtype=torch.float64)
    moved = shifted(t, 2.5)
    assert torch.allclose(moved / (1 - moved), 2.5 * t / (1 - t))
    assert shifted(torch.tensor([0.0, 1.0]), 2.5).tolist() == [0.0, 1.0]


def test_the_grid_in_closed_form() -> None:
    grid = sampling_grid(8, 2.5)
    assert grid.dtype == torch.float64
    expected = [2.5 * (8 - i) / (8 + 1.5 * (8 - i)) for i in range(9)]
    assert np.allclose(grid, expected, rtol=1e-14)
    assert Flow(FlowConfig(), latent=LATENT).grid(4).tolist() == sampling_grid(4, LATENT.time_shift).tolist()


def test_euler_is_exact_for_a_constant_velocity() -> None:
    clean, noise = _states(cls_token=5)
    flow, state = Flow(FlowConfig(shift=2.5), latent=LATENT), noise
    line = Prediction(noise.map(Tensor.sub, clean))
    for t, r in zip(flow.grid(3)[:-1], flow.grid(3)[1:], strict=True):
        state = flow.step(lambda *_: line, state, Times(t.expand(4), r.expand(4)), CONDITION)
    assert torch.allclose(state.latent, clean.latent, atol=1e-6)
    assert torch.allclose(state.cls_token, clean.cls_token, atol=1e-6)
    assert state.latent.dtype == torch.float32


def test_predictions_in_bf16_become_float32_velocities() -> None:
    state = State(torch.randn(4, 2, 3, 3))
    prediction = Prediction(State(torch.randn(4, 2, 3, 3).bfloat16()))
    for kind in ("velocity", "x"):
        velocity = Flow(FlowConfig(prediction=kind), latent=LATENT).velocity(prediction, state, Times(T, T))
        assert velocity.value.latent.dtype == torch.float32


def test_options_are_checked() -> None:
    for options in ({"prediction": "noise"}, {"t_eps": 0.0}, {"time_std": -1.0}, {"shift": 0.0}):
        with pytest.raises(ConfigError, match=r"objective.*" + next(iter(options))):
            structure(options, FlowConfig, "objective")


def test_the_manifest_loads_no_torch() -> None:
    script = "import sys, nanogen_flow.plugin, nanogen_flow.config; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)
