"""TrigFlow against its equations in numpy, its equivalence with EDM, and a solution in closed form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nanogen_consistency.config import TrigFlowConfig
from nanogen_consistency.trigflow import TrigFlow
from nanogen_core import Pipeline, build_pipeline
from nanogen_core.randomness import KeyedRNG
from nanogen_core.sampling import Euler, Heun
from nanogen_core.settings import SamplerConfig
from nanogen_core.specs import LatentSpec
from nanogen_core.tensors import Condition, Prediction, State, Times
from nanogen_train.logging import metrics_log
from nanogen_train.trainer.loop import Run

LATENT = LatentSpec(2, 4, 4, factor=8)
CONDITION = Condition(torch.zeros(4, 1, 1))


class Net(nn.Module):
    """A nonlinear function of the state and the time."""

    def forward(self, state: State, times: Times, condition: Condition) -> Prediction:
        t = times.t.reshape(-1, 1, 1, 1)
        return Prediction(State(torch.sin(2 * state.latent + t) + 0.3 * t * state.latent))


def _column(values: Tensor) -> np.ndarray:
    return values.double().numpy().reshape(-1, 1, 1, 1)


@pytest.mark.parametrize("std", [0.5, 1.0])
def test_the_loss_by_hand(std: float) -> None:
    """The equations of the paper for data of standard deviation 0.5, whatever that of the latents is."""
    objective = TrigFlow(TrigFlowConfig(data_std=std), latent=LATENT)
    clean, rng = KeyedRNG(1, range(4)).normal("clean", LATENT.shape), KeyedRNG(3, range(4), step=5)
    losses = objective.loss({"student": Net()}, State(clean), CONDITION, CONDITION, rng)
    t = np.arctan(np.exp(-0.8 + 1.6 * _column(rng.normal("time", ()))) / 0.5)
    z, data = (0.5 * x.double().numpy() for x in (rng.normal("noise", LATENT.shape), clean / std))
    x = np.cos(t) * data + np.sin(t) * z
    output = np.sin(2 * x / 0.5 + t) + 0.3 * t * x / 0.5
    error = ((0.5 * output - (np.cos(t) * z - np.sin(t) * data)) ** 2).mean() / 0.5**2
    assert losses.total.item() == pytest.approx(error, rel=1e-4)  # w is 0 at first
    assert losses.forward_pass is not None
    denoised = np.cos(t) * x - np.sin(t) * 0.5 * output
    np.testing.assert_allclose(losses.forward_pass.denoised.latent.numpy() * 0.5 / std, denoised, atol=1e-4)


def test_the_weight_makes_every_time_count_alike() -> None:
    """Its optimum is 1 / E[error]: gradient descent reaches it for errors that grow with the angle."""
    weight = TrigFlow(TrigFlowConfig(), latent=LATENT).weight
    assert weight is not None
    angle = torch.linspace(0, np.pi / 2, 64)
    error = 0.1 + angle**2
    optimizer = torch.optim.LBFGS(weight.parameters(), max_iter=200)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = (weight(angle).exp() * error - weight(angle)).mean()
        loss.backward()
        return loss

    optimizer.step(closure)
    torch.testing.assert_close(weight(angle).exp() * error, torch.ones(64), rtol=0.05, atol=0)


def test_the_denoiser_is_that_of_edm() -> None:
    """Appendix B: D = c_skip x' + c_out (-F) with x' = x / cos(a) and sigma = sigma_d tan(a)."""
    objective = TrigFlow(TrigFlowConfig(data_std=0.5), latent=LATENT)
    t = torch.tensor([0.1, 0.3, 0.6, 0.9])
    x, output = (KeyedRNG(0, range(4)).normal(name, LATENT.shape) for name in ("x", "output"))
    state, times = State(x), Times(t, t)
    velocity = objective.velocity(Prediction(State(output)), state, times).value
    sigma = 0.5 * np.tan(np.pi / 2 * _column(t))
    skip, out = 0.25 / (sigma**2 + 0.25), sigma * 0.5 / np.sqrt(sigma**2 + 0.25)
    expected = skip * x.numpy() / np.cos(np.pi / 2 * _column(t)) - out * output.numpy()
    np.testing.assert_allclose(objective.denoised(velocity, state, t).latent, expected, atol=1e-5)


@pytest.mark.parametrize(("sampler", "order"), [(Euler, 1), (Heun, 2)])
def test_the_error_falls_with_the_order(sampler: type[Euler], order: int) -> None:
    """For data N(0, 0.3^2) the variance at the angle a is cos(a)^2 0.3^2 + sin(a)^2, and x scales with its root."""
    objective = TrigFlow(TrigFlowConfig(data_std=1.0), latent=LATENT)

    def field(state: State, times: Times, condition: Condition) -> Prediction:
        angle = (np.pi / 2 * times.t.double()).reshape(-1, 1, 1, 1)
        variance = angle.cos() ** 2 * 0.09 + angle.sin() ** 2
        rate = np.pi / 2 * angle.sin() * angle.cos() * (1 - 0.09) / variance
        return Prediction(State((rate * state.latent).float()))

    start = State(KeyedRNG(0, range(4)).normal("noise", LATENT.shape))
    errors = []
    for steps in (32, 64):
        end = sampler(SamplerConfig()).sample(objective, field, start, CONDITION, steps, KeyedRNG(0, range(4)))
        errors.append(float((end.latent - 0.3 * start.latent).abs().max()))
    assert 0.85 * 2**order <= errors[0] / errors[1] <= 1.3 * 2**order


@pytest.mark.parametrize("task", ["imagenet", "t2i"])
def test_the_loss_falls_on_both_tasks(small: dict[str, Any], tmp_path: Path, task: str) -> None:
    built = build_pipeline({**small, "task": task})
    trained = Run(built, tmp_path).train()
    losses = [entry["trigflow"] for entry in metrics_log.read(tmp_path)]
    assert sum(losses[-8:]) < 0.9 * sum(losses[:8])
    requests = [0, 1] if task == "imagenet" else ["a red circle", "a star"]
    images = trained.generate(requests, tensors=True)
    assert images.shape == (2, 3, 16, 16)
    assert images.std() > 0.01
    weight = trained.objective.weight.weight
    assert weight.any()  # trained
    assert torch.equal(Pipeline.load(tmp_path).objective.weight.weight, weight)  # and saved
