"""The objectives against their equations in closed form and in numpy, and the objective contract."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from nanogen_core.errors import ConfigError, Incompatible
from nanogen_core.randomness import KeyedRNG
from nanogen_core.specs import LatentSpec
from nanogen_core.tensors import Condition, Prediction, State, Times, per_sample, where_null
from nanogen_core.testing import ObjectiveContract
from nanogen_core.testing.comparison import LATENT as CONTRACT_LATENT
from nanogen_files.structure import structure
from nanogen_meanflow.average import AverageVelocity
from nanogen_meanflow.config import ImprovedMeanFlowConfig, MeanFlowConfig
from nanogen_meanflow.improved import ImprovedMeanFlow
from nanogen_meanflow.meanflow import MeanFlow

LATENT = LatentSpec(2, 4, 4, factor=16)
CONDITION, NULL = Condition(torch.ones(4, 1, 1)), Condition(torch.zeros(4, 1, 1))
TIMES = Times(torch.tensor([0.9, 0.6, 0.5, 0.3]), torch.tensor([0.1, 0.5, 0.0, 0.2]))


# without guidance: the oracle of the contract predicts the unguided velocity


class TestMeanFlow(ObjectiveContract):
    @pytest.fixture
    def objective(self) -> AverageVelocity:
        return MeanFlow(MeanFlowConfig(probability=0.5, kappa=0.0), latent=CONTRACT_LATENT)


class TestImproved(ObjectiveContract):
    @pytest.fixture
    def objective(self) -> AverageVelocity:
        return ImprovedMeanFlow(ImprovedMeanFlowConfig(scale=1.0), latent=CONTRACT_LATENT)


class TestPixel(ObjectiveContract):
    predicts = "data"

    @pytest.fixture
    def objective(self) -> AverageVelocity:
        return ImprovedMeanFlow(ImprovedMeanFlowConfig(scale=1.0, prediction="x"), latent=CONTRACT_LATENT)


class Affine(nn.Module):
    """Predicts `a z + b` for the condition 1 and `c z` for the null condition 0, at all times. Records its calls."""

    def __init__(self, a: float = 0.5, b: float = 0.25, c: float = -1.0):
        super().__init__()
        self.a, self.b, self.c = (nn.Parameter(torch.tensor(x)) for x in (a, b, c))
        self.calls: list[tuple[Times, Condition, bool]] = []

    def forward(self, state: State, times: Times, condition: Condition) -> Prediction:
        self.calls.append((times, condition, torch.is_grad_enabled()))
        given = per_sample(condition.tokens[:, 0, 0], state.latent)  # [B, 1, 1, 1]
        time = per_sample(0 * times.t, state.latent)
        return Prediction(State(given * (self.a * state.latent + self.b) + (1 - given) * self.c * state.latent + time))


def _states() -> tuple[State, State]:
    draws = KeyedRNG(0, range(4))
    return State(draws.normal("clean", LATENT.shape)), State(draws.normal("noise", LATENT.shape))


def _by_hand(times: Times = TIMES) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """z_t, the velocity, and t and t - r as columns, in numpy."""
    clean, noise = (state.latent.double().numpy() for state in _states())
    t, r = (x.double().numpy().reshape(4, 1, 1, 1) for x in times)
    return (1 - t) * clean + t * noise, noise - clean, t, t - r


def _evaluate(objective: AverageVelocity, net: nn.Module, condition: Condition = CONDITION, has_interval: bool = True):
    return objective.evaluate(objective.make_inputs(net, *_states(), TIMES, condition, NULL), has_interval)


def test_meanflow_by_hand() -> None:
    output = _evaluate(MeanFlow(MeanFlowConfig(omega=0.9, kappa=0.3), latent=LATENT), Affine())
    z, v, _, h = _by_hand()
    target = 0.9 * v + 0.3 * (0.5 * z + 0.25) + (1 - 0.9 - 0.3) * -z
    du_dt = 0.5 * target
    error = ((0.5 * z + 0.25 + h * du_dt - target) ** 2).reshape(4, -1).sum(1)
    assert np.allclose(output.target, target, atol=1e-5)
    assert np.allclose(output.du_dt, du_dt, atol=1e-5)
    assert np.allclose(output.error.detach(), error, rtol=1e-4)


def test_improved_meanflow_by_hand() -> None:
    config = ImprovedMeanFlowConfig(scale=4.0, t_min=0.4, t_max=0.8)
    output = _evaluate(ImprovedMeanFlow(config, latent=LATENT), Affine())
    z, v, t, h = _by_hand()
    v_cond = 0.5 * z + 0.25
    target = v + 0.75 * ((t >= 0.4) & (t <= 0.8)) * (v_cond + z)
    error = ((v_cond + h * 0.5 * v_cond - target) ** 2).reshape(4, -1).sum(1)
    assert np.allclose(output.target, target, atol=1e-5)
    assert np.allclose(output.du_dt, 0.5 * v_cond, atol=1e-5)  # along the network's own velocity
    assert np.allclose(output.error.detach(), error, rtol=1e-4)


def test_pixel_meanflow_by_hand() -> None:
    output = _evaluate(ImprovedMeanFlow(ImprovedMeanFlowConfig(scale=1.0, prediction="x"), latent=LATENT), Affine())
    z, v, t, h = _by_hand()
    u = (z - (0.5 * z + 0.25)) / t
    du_dt = 0.5 * u / t - u / t  # along dz/dt = u, since the network does not depend on time
    error = ((u + h * du_dt - v) ** 2).reshape(4, -1).sum(1)
    assert np.allclose(output.forward_pass.denoised.latent.detach(), 0.5 * z + 0.25, atol=1e-5)
    assert np.allclose(output.du_dt, du_dt, atol=1e-4)
    assert np.allclose(output.error.detach(), error, rtol=1e-4)


def test_each_sample_has_its_own_weight() -> None:
    objective = MeanFlow(MeanFlowConfig(norm_p=0.75, norm_eps=0.02), latent=LATENT)
    error = torch.tensor([0.0, 0.01, 1.0, 300.0])
    expected = error.numpy() / (error.numpy() + 0.02) ** 0.75
    assert np.allclose(objective.weighted(error), expected, rtol=1e-5)


def test_the_weight_has_no_gradient() -> None:
    error = torch.tensor([3.0], requires_grad=True)
    MeanFlow(MeanFlowConfig(), latent=LATENT).weighted(error).sum().backward()
    assert error.grad is not None
    assert error.grad.item() == pytest.approx(1 / 3.01)


class Linear(nn.Module):
    """The exact average velocity of the field v(z, t) = k (z - m): one step is exact."""

    k, m = 0.7, 0.3

    def forward(self, state: State, times: Times, condition: Condition) -> Prediction:
        h = (times.t - times.r).double()
        rate = torch.where(h > 0, -torch.expm1(-self.k * h) / h.clamp(min=1e-9), self.k)  # (1 - e^(-k h)) / h
        return Prediction(State(per_sample(rate, state.latent) * (state.latent - self.m)))


def test_a_linear_field_in_closed_form() -> None:
    objective = MeanFlow(MeanFlowConfig(kappa=0.0), latent=LATENT)
    noise = _states()[1].map(torch.Tensor.double)
    data = Linear.m + np.exp(-Linear.k) * (noise.latent.numpy() - Linear.m)  # the flow's end at t = 0
    for steps in (1, 2, 5):
        state, grid = noise, objective.grid(steps)
        for t, r in pairwise(grid):
            state = objective.step(Linear(), state, Times(t.expand(4), r.expand(4)), CONDITION)
        assert np.allclose(state.latent, data, atol=1e-12)


def test_the_average_velocity_of_a_linear_field_obeys_the_identity() -> None:
    """V = u + (t - r) du/dt equals the instantaneous velocity, if du/dt is taken in its direction."""
    objective = ImprovedMeanFlow(ImprovedMeanFlowConfig(scale=1.0), latent=LATENT)
    clean, noise = (state.map(torch.Tensor.double) for state in _states())
    inputs = objective.make_inputs(Linear(), clean, noise, Times(*(x.double() for x in TIMES)), CONDITION, NULL)
    output = objective.evaluate(inputs, has_interval=True)
    compound = output.forward_pass.prediction.value.latent + per_sample(TIMES.t - TIMES.r, clean.latent) * output.du_dt
    assert torch.allclose(compound, Linear.k * (output.forward_pass.state.latent - Linear.m), atol=1e-6)


def test_rows_without_condition_learn_the_unguided_velocity() -> None:
    dropped = torch.tensor([True, False, True, False])
    condition = where_null(dropped, CONDITION, NULL)
    _, v, _, _ = _by_hand()
    for objective in (
        MeanFlow(MeanFlowConfig(omega=2.0), latent=LATENT),
        ImprovedMeanFlow(ImprovedMeanFlowConfig(scale=3.0), latent=LATENT),
    ):
        output = _evaluate(objective, Affine(), condition).target
        assert np.allclose(output[dropped], v[dropped.numpy()], atol=1e-5)
        assert not np.allclose(output[~dropped], v[~dropped.numpy()], atol=0.1)


@pytest.mark.parametrize(
    ("omega", "kappa", "calls"), [(1.0, 0.0, 1), (1.0, 0.5, 3), (0.5, 0.5, 2), (2.0, 0.0, 2), (0.9, 0.1, 2)]
)
def test_terms_without_weight_are_not_evaluated(omega: float, kappa: float, calls: int) -> None:
    net = Affine()
    _evaluate(MeanFlow(MeanFlowConfig(omega=omega, kappa=kappa), latent=LATENT), net)
    assert len(net.calls) == calls


def test_guidance_terms_have_no_gradient_and_no_interval_and_null_keeps_its_mask() -> None:
    null = NULL._replace(mask=torch.ones(4, 1, dtype=torch.bool))
    objective, net = MeanFlow(MeanFlowConfig(), latent=LATENT), Affine()
    objective.evaluate(objective.make_inputs(net, *_states(), TIMES, CONDITION, null), has_interval=True)
    *extra, (times, condition, grad) = net.calls
    assert all(torch.equal(guided.t, guided.r) and not gradient for guided, _, gradient in extra)
    assert extra[1][1].mask is null.mask
    assert grad
    assert torch.equal(times.r, TIMES.r)
    assert condition is CONDITION


def test_improved_meanflow_evaluates_v_cond_once() -> None:
    for scale, has_interval, calls in ((1.0, True, 2), (1.0, False, 1), (2.0, True, 3), (2.0, False, 2)):
        net = Affine()
        _evaluate(ImprovedMeanFlow(ImprovedMeanFlowConfig(scale=scale), latent=LATENT), net, has_interval=has_interval)
        assert len(net.calls) == calls


def test_the_prediction_at_r_equal_t_is_v_cond() -> None:
    objective, net = MeanFlow(MeanFlowConfig(omega=0.9, kappa=0.3), latent=LATENT), Affine()
    instants = Times(TIMES.t, TIMES.t)
    output = objective.evaluate(objective.make_inputs(net, *_states(), instants, CONDITION, NULL), has_interval=False)
    z, v, _, _ = _by_hand(instants)
    target = 0.9 * v + 0.3 * (0.5 * z + 0.25) + (1 - 0.9 - 0.3) * -z
    assert np.allclose(output.target, target, atol=1e-5)
    assert not output.target.requires_grad
    assert np.allclose(output.error.detach(), ((0.5 * z + 0.25 - target) ** 2).reshape(4, -1).sum(1), rtol=1e-4)
    assert len(net.calls) == 2


def _step(objective: AverageVelocity, slots: range | tuple[int, ...], step: int) -> Times:
    """The times of the forward pass of a step."""
    net, clean = Affine(), State(torch.zeros(len(slots), *LATENT.shape))
    tokens = Condition(torch.ones(len(slots), 1, 1))
    losses = objective.loss({"student": net}, clean, tokens, tokens, KeyedRNG(3, slots, step=step))
    assert losses.forward_pass is not None
    return losses.forward_pass.times


def test_all_samples_of_a_step_have_an_interval_or_none() -> None:
    objective = MeanFlow(MeanFlowConfig(), latent=LATENT)
    has_interval = []
    for step in range(60):
        batch, part = _step(objective, range(4), step), _step(objective, (2, 3), step)
        assert torch.equal(part.t, batch.t[2:])
        assert torch.equal(part.r, batch.r[2:])
        has_interval.append((batch.r < batch.t).tolist())
    assert all(len(set(rows)) == 1 for rows in has_interval)
    assert 0.1 < np.mean(has_interval) < 0.4


def test_probabilities_of_0_and_1() -> None:
    for probability in (0.0, 1.0):
        objective = MeanFlow(MeanFlowConfig(probability=probability), latent=LATENT)
        steps = [_step(objective, range(2), step) for step in range(5)]
        assert {bool(row) for t, r in steps for row in r < t} == {bool(probability)}


def _normals(times: torch.Tensor) -> torch.Tensor:
    """The standard normal numbers of times with a shift of 3, sorted."""
    return ((torch.logit(times / (3 - 2 * times)) + 0.4) / 1.0).sort().values


def _distance(numbers: torch.Tensor, power: int = 1) -> float:
    """Kolmogorov-Smirnov distance to the distribution of the maximum of `power` standard normal numbers."""
    expected = torch.special.ndtr(numbers.double()) ** power
    return float((expected - torch.linspace(0, 1, len(numbers), dtype=torch.float64)).abs().max())


@pytest.mark.parametrize("mix", ["step", "sample"])
@pytest.mark.parametrize("flow_time", ["one", "maximum"])
def test_times_have_their_distribution(flow_time: str, mix: str) -> None:
    """At 4,000 numbers a distance of 0.0257 has a p-value of 0.01; the two distributions are 0.25 apart."""
    config = MeanFlowConfig(shift=3.0, flow_time=flow_time, mix=mix)
    objective, rng, has_interval = (
        MeanFlow(config, latent=LATENT),
        KeyedRNG(0, range(8000)),
        torch.arange(8000) % 2 == 0,
    )
    t, r = objective.times(rng, has_interval)
    drawn = torch.cat([t[has_interval], r[has_interval]])
    assert (r[has_interval] < t[has_interval]).all()
    assert _distance(_normals(drawn)) < 0.0257
    assert _distance(_normals(t[has_interval]), power=2) < 0.0257
    assert torch.equal(r[~has_interval], t[~has_interval])
    assert _distance(_normals(t[~has_interval]), power=2 if flow_time == "maximum" else 1) < 0.0257


def test_mix_sample_draws_each_sample_by_itself() -> None:
    objective, has_interval = ImprovedMeanFlow(ImprovedMeanFlowConfig(), latent=LATENT), []
    for step in range(200):
        batch, part = _step(objective, range(8), step), _step(objective, (5, 6), step)
        assert torch.allclose(part.t, batch.t[5:7], rtol=1e-6)
        assert torch.equal(part.r < part.t, (batch.r < batch.t)[5:7])
        has_interval.append((batch.r < batch.t).tolist())
    assert 2 in {len(set(rows)) for rows in has_interval}
    assert abs(np.mean(has_interval) - 0.5) < 2.6 * 0.5 / 1600**0.5


def test_a_sample_with_r_equal_t_has_the_same_error_in_a_mixed_batch() -> None:
    """Its V is u for every du/dt."""
    objective, t = ImprovedMeanFlow(ImprovedMeanFlowConfig(scale=4.0), latent=LATENT), TIMES.t
    mixed = Times(t, torch.where(torch.tensor([True, False, True, False]), t, TIMES.r))
    output, instants, intervals = (
        objective.evaluate(objective.make_inputs(Affine(), *_states(), times, CONDITION, NULL), has_interval)
        for times, has_interval in ((mixed, True), (Times(t, t), False), (TIMES, True))
    )
    assert torch.allclose(output.error[::2], instants.error[::2], rtol=1e-5)
    assert torch.allclose(output.error[1::2], intervals.error[1::2], rtol=1e-5)
    assert not torch.allclose(instants.error, intervals.error, rtol=0.1)


def test_the_objectives_have_the_times_of_their_public_code() -> None:
    assert (MeanFlowConfig().mix, MeanFlowConfig().flow_time, MeanFlowConfig().probability) == ("step", "one", 0.25)
    improved = ImprovedMeanFlowConfig()
    assert (improved.mix, improved.flow_time, improved.probability) == ("sample", "maximum", 0.5)


def test_training_times_have_the_shift_of_the_latent_and_sampling_has_none() -> None:
    objective = MeanFlow(MeanFlowConfig(), latent=LatentSpec(768, 16, 16))
    assert objective.flow.shift == pytest.approx(6.928, abs=1e-3)
    assert objective.grid(2).tolist() == [1.0, 0.5, 0.0]


def test_heads_learn_the_unguided_velocity_with_the_same_weighting(make: Callable[..., nn.Module]) -> None:
    net = make("internal-head")
    clean, _ = _states()
    tokens = Condition(torch.ones(4, 3, 6))
    objective = MeanFlow(MeanFlowConfig(probability=1.0, internal_weight=2.0), latent=LATENT)
    losses = objective.loss(
        {"student": partial(net, intermediates=("block.2",))}, clean, tokens, tokens, KeyedRNG(0, range(4))
    )
    assert losses.parts.keys() == {"meanflow", "internal", "error"}
    assert torch.allclose(losses.total, losses.parts["meanflow"] + losses.parts["internal"])
    forward_pass = losses.forward_pass
    velocity = objective.flow.target_velocity(clean, forward_pass.state, forward_pass.times.t).latent
    error = (forward_pass.prediction.heads["internal"].latent - velocity).square().flatten(1).sum(1)
    assert losses.parts["internal"].item() == pytest.approx(2 * (error / (error + 0.01)).mean().item(), rel=1e-5)
    assert set(forward_pass.prediction.features) == {"block.2"}


@pytest.mark.parametrize("derivative", ["exact", "forward", "central", "backward"])
def test_every_derivative_method_trains_every_weight(make: Callable[..., nn.Module], derivative: str) -> None:
    net = make()
    config = ImprovedMeanFlowConfig(probability=1.0, derivative=derivative, prediction="x")
    tokens = Condition(torch.ones(4, 3, 6))
    objective = ImprovedMeanFlow(config, latent=LATENT)
    objective.loss({"student": net}, _states()[0], tokens, tokens, KeyedRNG(0, range(4))).total.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() and p.grad.any() for p in net.parameters())


def test_a_class_token_is_refused() -> None:
    with pytest.raises(Incompatible, match=r"class token.*REG"):
        MeanFlow(MeanFlowConfig(), latent=LatentSpec(2, 4, 4, cls_token_width=5))


def test_options_are_checked() -> None:
    wrong = {
        "mix": "batch",
        "flow_time": "two",
        "kappa": 1.0,
        "omega": 0.0,
        "derivative": "unknown",
        "probability": 1.5,
        "norm_eps": 0.0,
        "fd_step": 0.0,
    }
    for name, value in wrong.items():
        with pytest.raises(ConfigError, match=rf"objective.*{name}"):
            structure({name: value}, MeanFlowConfig, "objective")
    with pytest.raises(ConfigError, match=r"objective.*scale"):
        structure({"scale": 0.5}, ImprovedMeanFlowConfig, "objective")
