"""EDM against its equations in numpy, diffusers' scheduler, Algorithm 1, and a solution in closed form."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nanogen_core import build_pipeline
from nanogen_core.protocols import Objective
from nanogen_core.randomness import KeyedRNG
from nanogen_core.sampling import Euler, Heun, velocity_field
from nanogen_core.settings import SamplerConfig
from nanogen_core.specs import LatentSpec
from nanogen_core.tensors import Condition, Prediction, State, Times
from nanogen_core.testing import ObjectiveContract, PluginContract
from nanogen_edm.config import EDMConfig
from nanogen_edm.objective import EDM
from nanogen_train.logging import metrics_log
from nanogen_train.trainer.loop import Run

LATENT = LatentSpec(2, 4, 4, factor=8)
CONDITION = Condition(torch.zeros(4, 1, 1))


class TestPlugin(PluginContract):
    @pytest.fixture
    def manifest(self) -> str:
        return "nanogen_edm.plugin"


class Contract(ObjectiveContract):
    damped_below = 0.0  # no velocity is damped
    tolerance = 5e-4  # the states at t = 1 are about 300, whose float32 rounding is 3e-5

    def true_prediction(self, objective: Objective, state: State, times: Times, clean: State) -> State:
        """(data - c_skip x) / c_out, where x = state / c_in and sigma = exp(4 c_noise)."""
        assert isinstance(objective, EDM)
        sigma, data = (4 * times.t.double()).exp(), objective.config.sigma_data
        root = (sigma**2 + data**2).sqrt()

        def output(scaled: Tensor, target: Tensor) -> Tensor:
            s, r = (x.reshape(-1, *([1] * (scaled.ndim - 1))) for x in (sigma, root))
            x = scaled.double() * r
            f = (target.double() / objective.scale - data**2 / r**2 * x) / (s * data / r)
            return f.to(scaled.dtype)

        return state.map(output, clean)


class TestEDM(Contract):
    @pytest.fixture
    def objective(self) -> EDM:
        return EDM(EDMConfig(), latent=self.latent)


class TestWithClassToken(Contract):
    latent = LatentSpec(4, 8, 8, factor=8, cls_token_width=6)

    @pytest.fixture
    def objective(self) -> EDM:
        return EDM(EDMConfig(sigma_max=20.0, sigma_min=0.01, data_std=0.8), latent=self.latent)


class Net(nn.Module):
    """A nonlinear function of the state and the time. Records its inputs."""

    def forward(self, state: State, times: Times, condition: Condition) -> Prediction:
        self.inputs = state, times
        t = times.t.reshape(-1, 1, 1, 1)
        return Prediction(State(torch.sin(2 * state.latent + t) + 0.3 * t * state.latent))


def _net(x: np.ndarray, t: np.ndarray | float) -> np.ndarray:
    return np.sin(2 * x + t) + 0.3 * t * x


def _noise() -> Tensor:
    return KeyedRNG(0, range(4)).normal("noise", LATENT.shape)


def _sample(sampler: Euler, objective: EDM, net: Callable[..., Any], steps: int) -> Tensor:
    one = torch.ones(4)
    start = objective.interpolate(State(torch.zeros(4, *LATENT.shape)), State(_noise()), one)
    field = velocity_field(objective, net)  # type: ignore[arg-type]
    return sampler.sample(objective, field, start, CONDITION, steps, KeyedRNG(0, range(4))).latent


def test_the_loss_by_hand() -> None:
    objective, net = EDM(EDMConfig(data_std=1.0), latent=LATENT), Net()
    clean, rng = KeyedRNG(1, range(4)).normal("clean", LATENT.shape), KeyedRNG(3, range(4), step=5)
    losses = objective.loss({"student": net}, State(clean), CONDITION, CONDITION, rng)
    sigma = np.exp(-1.2 + 1.2 * rng.normal("time", ()).double().numpy()).reshape(4, 1, 1, 1)
    data = clean.double().numpy() / 2  # of standard deviation 0.5
    x = data + sigma * rng.normal("noise", LATENT.shape).double().numpy()
    root = np.sqrt(sigma**2 + 0.25)
    denoised = 0.25 / root**2 * x + sigma * 0.5 / root * _net(x / root, np.log(sigma) / 4)
    expected = ((sigma**2 + 0.25) / (sigma * 0.5) ** 2 * (denoised - data) ** 2).mean()
    assert losses.total.item() == pytest.approx(expected, rel=1e-4)
    assert losses.forward_pass is not None
    np.testing.assert_allclose(losses.forward_pass.denoised.latent.numpy() / 2, denoised, rtol=1e-3, atol=1e-4)
    state, times = net.inputs
    np.testing.assert_allclose(state.latent.numpy(), x / root, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(times.t.numpy(), np.log(sigma).ravel() / 4, rtol=1e-4)
    assert torch.equal(times.t, times.r)


def test_the_levels_are_those_of_equation_5() -> None:
    grid = EDM(EDMConfig(), latent=LATENT).grid(18).numpy() * 80
    i = np.arange(18)
    expected = (80 ** (1 / 7) + i / 17 * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7
    np.testing.assert_allclose(grid, [*expected, 0], rtol=1e-12)


@pytest.mark.parametrize("steps", [1, 2, 7])
def test_euler_is_that_of_diffusers(steps: int) -> None:
    from diffusers import EDMEulerScheduler

    objective, net = EDM(EDMConfig(data_std=0.5), latent=LATENT), Net()
    scheduler = EDMEulerScheduler(sigma_min=0.002, sigma_max=80.0, sigma_data=0.5, rho=7.0)
    scheduler.set_timesteps(steps)
    x = 80.0 * _noise()
    for timestep in scheduler.timesteps:
        scaled = scheduler.scale_model_input(x, timestep)
        output = net(State(scaled), Times(timestep.expand(4), timestep.expand(4)), CONDITION).value.latent
        x = scheduler.step(output, timestep, x).prev_sample
    torch.testing.assert_close(_sample(Euler(SamplerConfig()), objective, net, steps), x, rtol=1e-4, atol=1e-4)


def test_heun_is_algorithm_1() -> None:
    """Algorithm 1 of the paper in float64, with D of equation 7."""
    sigmas = [*((80 ** (1 / 7) + np.arange(6) / 5 * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7), 0.0]

    def denoised(x: np.ndarray, sigma: float) -> np.ndarray:
        root = np.sqrt(sigma**2 + 0.25)
        return 0.25 / root**2 * x + sigma * 0.5 / root * _net(x / root, np.log(sigma) / 4)

    x = sigmas[0] * _noise().double().numpy()
    for now, then in pairwise(sigmas):
        d = (x - denoised(x, now)) / now
        after = x + (then - now) * d
        if then:
            after = x + (then - now) * (d + (after - denoised(after, then)) / then) / 2
        x = after
    ours = _sample(Heun(SamplerConfig()), EDM(EDMConfig(data_std=1.0), latent=LATENT), Net(), 6)
    np.testing.assert_allclose(ours.numpy(), 2 * x, rtol=1e-3, atol=2e-4)


@pytest.mark.parametrize(("sampler", "order"), [(Euler, 1), (Heun, 2)])
def test_the_error_falls_with_the_order(sampler: type[Euler], order: int) -> None:
    """For data N(0, 0.5^2), D = c_skip x, so that F = 0 and x(0) = x(sigma_max) 0.5 / sqrt(sigma_max^2 + 0.25)."""
    objective = EDM(EDMConfig(data_std=0.5), latent=LATENT)

    def zero(state: State, times: Times, condition: Condition) -> Prediction:
        return Prediction(State(torch.zeros_like(state.latent)))

    exact = 80 * _noise() * 0.5 / (80**2 + 0.25) ** 0.5
    errors = [float((_sample(sampler(SamplerConfig()), objective, zero, n) - exact).abs().max()) for n in (32, 64)]
    assert 0.85 * 2**order <= errors[0] / errors[1] <= 1.2 * 2**order


def test_pixels_have_half_the_standard_deviation() -> None:
    assert EDM(EDMConfig(), latent=LatentSpec(3, 8, 8, factor=1)).scale == 1.0
    assert EDM(EDMConfig(), latent=LATENT).scale == 2.0


def test_levels_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(ValueError, match="sigma_max: must be above sigma_min"):
        EDMConfig(sigma_max=0.001)


@pytest.mark.parametrize("task", ["imagenet", "t2i"])
def test_the_loss_falls_on_both_tasks(small: dict[str, Any], tmp_path: Path, task: str) -> None:
    trained = Run(build_pipeline({**small, "task": task}), tmp_path).train()
    losses = [entry["edm"] for entry in metrics_log.read(tmp_path)]
    assert sum(losses[-8:]) < 0.9 * sum(losses[:8])
    requests = [0, 1] if task == "imagenet" else ["a red circle", "a star"]
    images = trained.generate(requests, tensors=True)
    assert images.shape == (2, 3, 16, 16)
    assert images.std() > 0.01
