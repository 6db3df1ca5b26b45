"""CFG-conditioned MeanFlow: distribution of scales and intervals, the target, sampling on both tasks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nanogen_core import build_pipeline, resolve
from nanogen_core.errors import ConfigError, Incompatible
from nanogen_core.pipeline import Pipeline
from nanogen_core.randomness import KeyedRNG
from nanogen_core.specs import LatentSpec
from nanogen_core.tensors import Condition, Prediction, State, Times, per_sample, where_null
from nanogen_core.testing import ObjectiveContract
from nanogen_core.testing.comparison import LATENT as CONTRACT_LATENT
from nanogen_files.structure import structure
from nanogen_meanflow.cfg_conditioned import CFGConditionedMeanFlow, CFGConditioning, sample_scales
from nanogen_meanflow.config import CFGConditionedMeanFlowConfig, CFGConditioningConfig
from nanogen_train.trainer.loop import Run

LATENT = LatentSpec(2, 4, 4, factor=16)
TIMES = Times(torch.tensor([0.9, 0.6, 0.5, 0.3]), torch.tensor([0.1, 0.5, 0.0, 0.2]))
GUIDANCE = torch.tensor(
    [[0.8, 0.1, 0.7], [0.8, 0.1, 0.7], [0.5, 0.5, 1.0], [0.25, 0.4, 0.6]]
)  # t lies inside in rows 1 and 2
CONDITION, NULL = Condition(torch.ones(4, 1, 1), extras={"guidance": GUIDANCE}), Condition(torch.zeros(4, 1, 1))
PROMPTS = {"imagenet": [0, 1], "t2i": ["a red circle", "a star"]}


class TestCFGConditioned(ObjectiveContract):
    """Without guidance: the oracle of the contract predicts the unguided velocity."""

    @pytest.fixture
    def objective(self) -> CFGConditionedMeanFlow:
        return CFGConditionedMeanFlow(CFGConditionedMeanFlowConfig(scale_max=1.0), latent=CONTRACT_LATENT)


class GuidanceReader(nn.Module):
    """Predicts `c z` with c = 0.5 + (1 - 1/w) + (t_max - t_min), a tenth of it for null. Records its inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.least = nn.Parameter(torch.tensor(0.5))
        self.calls: list[tuple[Times, Condition]] = []

    def forward(self, state: State, times: Times, condition: Condition) -> Prediction:
        self.calls.append((times, condition))
        guidance = condition.extras.get("guidance", torch.tensor([[0.0, 0.0, 1.0]]))
        slope = self.least + guidance[:, 0] + guidance[:, 2] - guidance[:, 1] + 0 * times.t
        given = condition.tokens[:, 0, 0]
        return Prediction(State(per_sample(slope * (0.1 + 0.9 * given), state.latent) * state.latent))


def _states() -> tuple[State, State]:
    draws = KeyedRNG(0, range(4))
    return State(draws.normal("clean", LATENT.shape)), State(draws.normal("noise", LATENT.shape))


def _objective(**options: Any) -> CFGConditionedMeanFlow:
    return CFGConditionedMeanFlow(CFGConditionedMeanFlowConfig(**options), latent=LATENT)


def test_the_target_by_hand() -> None:
    net, (clean, noise) = GuidanceReader(), _states()
    output = _objective().evaluate(
        _objective().make_inputs(net, clean, noise, TIMES, CONDITION, NULL), has_interval=True
    )
    t, r = (x.numpy().reshape(4, 1, 1, 1) for x in TIMES)
    data, eps = clean.latent.numpy(), noise.latent.numpy()
    z, v = (1 - t) * data + t * eps, eps - data
    fraction = np.array([0.0, 0.8, 0.5, 0.0]).reshape(4, 1, 1, 1)  # t is outside of the interval in rows 0 and 3
    v_cond, v_uncond = (0.5 + fraction + 1) * z, 0.1 * (0.5 + 1) * z
    target = v + fraction * (v_cond - v_uncond)
    slope = (
        (0.5 + GUIDANCE[:, 0] + GUIDANCE[:, 2] - GUIDANCE[:, 1]).numpy().reshape(4, 1, 1, 1)
    )  # u is evaluated with the batch guidance
    error = ((slope * z + (t - r) * slope * v_cond - target) ** 2).reshape(4, -1).sum(1)
    assert np.allclose(output.target, target, atol=1e-5)
    assert np.allclose(output.du_dt, slope * v_cond, atol=1e-5)
    assert np.allclose(output.error.detach(), error, rtol=1e-4)


def test_rows_without_condition_learn_the_unguided_velocity_and_keep_their_guidance() -> None:
    net, (clean, noise) = GuidanceReader(), _states()
    dropped = torch.tensor([False, True, False, True])
    condition = where_null(dropped, CONDITION, NULL)
    output = _objective().evaluate(
        _objective().make_inputs(net, clean, noise, TIMES, condition, NULL), has_interval=True
    )
    velocity = noise.latent - clean.latent
    assert torch.allclose(output.target[dropped], velocity[dropped], atol=1e-5)
    assert not torch.allclose(output.target[2], velocity[2], atol=0.1)
    assert torch.equal(net.calls[-1][1].extras["guidance"], GUIDANCE)


def test_guidance_inputs_of_each_evaluation() -> None:
    """The differentiated pass gets its interval, v_cond the scale at t with the interval [0, 1], v_uncond w = 1."""
    for has_interval in (True, False):
        net = GuidanceReader()
        objective = _objective(probability=float(has_interval))
        objective.loss({"student": net}, _states()[0], CONDITION, NULL, KeyedRNG(0, range(4)))
        learned = net.calls[-1 if has_interval else 0]
        v_cond = [(times, given) for times, given in net.calls[:-1] if given.extras] if has_interval else []
        v_uncond = [given for _, given in net.calls if not given.extras]
        fraction, start, end = learned[1].extras["guidance"].unbind(1)
        assert len(v_cond) == has_interval
        assert [given.tokens.any().item() for given in v_uncond] == [False]
        assert all(torch.equal(times.t, times.r) for times, _ in v_cond)
        t = learned[0].t
        for _, given in v_cond:
            fraction_at_t = torch.where((t >= start) & (t <= end), fraction, 0)
            assert torch.equal(
                given.extras["guidance"], torch.stack([fraction_at_t, torch.zeros(4), torch.ones(4)], dim=1)
            )
        if not has_interval:
            assert start.tolist() == [0] * 4
            assert end.tolist() == [1] * 4


def _guidance(objective: CFGConditionedMeanFlow, rng: KeyedRNG) -> Tensor:
    has_interval = torch.ones(len(rng.slots), dtype=torch.bool)
    condition = Condition(torch.ones(len(rng.slots), 1, 1))
    return objective.with_guidance(condition, has_interval, rng).extras["guidance"]


@pytest.mark.parametrize("power", [0.0, 0.999, 1.0, 2.0])
def test_scales_have_their_distribution(power: float) -> None:
    drawn = sample_scales(
        torch.rand(20000, generator=torch.Generator().manual_seed(0), dtype=torch.float64), 8.0, power
    )
    w = np.linspace(1, 8, 70001)
    density = w**-power
    integral = np.concatenate([[0], np.cumsum((density[1:] + density[:-1]) / 2)])
    expected = np.interp(drawn.sort().values, w, integral / integral[-1])  # uniform, if the distribution is right
    assert drawn.min() >= 1
    assert drawn.max() <= 8
    assert np.abs(expected - np.linspace(0, 1, 20000)).max() < 0.015  # Kolmogorov-Smirnov: p-value 0.01 at 0.0115


def test_intervals_are_uniform_before_the_shift_of_the_times() -> None:
    fraction, start, end = _guidance(_objective(shift=1.0), KeyedRNG(0, range(4000))).unbind(1)
    assert ((fraction >= 0) & (fraction < 7 / 8)).all()
    for ends, low in ((start, 0.0), (end, 0.5)):
        assert ((ends >= low) & (ends <= low + 0.5)).all()
        assert abs(float(ends.mean()) - low - 0.25) < 0.01
        assert abs(float(ends.std()) - 0.5 / 12**0.5) < 0.005
    assert abs(float(torch.corrcoef(torch.stack([fraction, start, end])).triu(1).abs().max())) < 0.05
    shifted = _guidance(_objective(shift=3.0), KeyedRNG(0, range(4000)))
    assert torch.allclose(shifted[:, 1:], torch.stack([3 * x / (1 + 2 * x) for x in (start, end)], dim=1))


def test_a_sample_with_r_equal_t_has_guidance_at_all_times() -> None:
    objective, rng, has_interval = _objective(shift=1.0), KeyedRNG(0, range(64)), torch.arange(64) % 2 == 0
    guidance = objective.with_guidance(Condition(torch.ones(64, 1, 1)), has_interval, rng).extras["guidance"]
    assert torch.equal(guidance[has_interval], _guidance(objective, rng)[has_interval])
    assert guidance[~has_interval, 1:].tolist() == [[0.0, 1.0]] * 32
    assert torch.equal(guidance[:, 0], _guidance(objective, rng)[:, 0])


def test_draws_are_keyed_by_slot_and_step() -> None:
    objective = _objective()
    batch, part = _guidance(objective, KeyedRNG(3, range(6), step=2)), _guidance(objective, KeyedRNG(3, (4, 5), step=2))
    assert torch.equal(batch[4:], part)
    assert not torch.equal(batch, _guidance(objective, KeyedRNG(3, range(6), step=3)))


def test_every_weight_is_trained(make: Callable[..., nn.Module]) -> None:
    for has_interval in (0.0, 1.0):
        net, tokens = make("cfg-conditioned"), Condition(torch.ones(4, 3, 6))
        objective = _objective(probability=has_interval)
        objective.loss({"student": net}, _states()[0], tokens, tokens, KeyedRNG(0, range(4))).total.backward()
        assert all(p.grad is not None and p.grad.isfinite().all() and p.grad.any() for p in net.parameters())


class Scaled(nn.Module):
    """Predicts one number everywhere: an affine function of the scale w, and a separate number for null conditions."""

    def __init__(self) -> None:
        super().__init__()
        self.v_cond = nn.Parameter(torch.zeros(2))
        self.v_uncond = nn.Parameter(torch.zeros(()))

    def forward(self, state: State, times: Times, condition: Condition) -> Prediction:
        fraction = torch.zeros(len(times.t)) if not condition.extras else condition.extras["guidance"][:, 0]
        features = torch.stack([torch.ones_like(fraction), 1 / (1 - fraction)], dim=1)  # 1 and w
        known = condition.tokens[:, 0, 0]
        slope = known * (features @ self.v_cond) + (1 - known) * self.v_uncond
        return Prediction(State(per_sample(slope, state.latent) * torch.ones_like(state.latent)))


def test_training_learns_all_scales() -> None:
    """Data at -1 given the condition and at 1 without: v_c = 1, v_u = -1 and v_g = w v_c + (1 - w) v_u = 2 w - 1."""
    objective, net = _objective(scale_max=3.0), Scaled()
    optimizer = torch.optim.Adam(net.parameters(), 0.1)
    known = (torch.arange(32) % 4 > 0).float()
    condition, null = Condition(known[:, None, None], null=known == 0), Condition(torch.zeros(32, 1, 1))
    clean = State(per_sample(1 - 2 * known, torch.ones(32, *LATENT.shape)).expand(-1, *LATENT.shape))
    noise, t = clean.map(torch.zeros_like), torch.full([32], 0.5)
    for step in range(500):
        guidance = objective.with_guidance(
            condition, torch.zeros(32, dtype=torch.bool), KeyedRNG(0, range(32), step=step)
        )
        error = objective.evaluate(
            objective.make_inputs(net, clean, noise, Times(t, t), guidance, null), has_interval=False
        ).error
        optimizer.zero_grad()
        error.mean().backward()
        optimizer.step()
    for w in (1.0, 2.0, 3.0):
        guided = CFGConditioning(CFGConditioningConfig(scale=w)).wrap(net, NULL)
        velocity = guided(State(noise.latent[:4]), TIMES, Condition(torch.ones(4, 1, 1))).value.latent
        assert torch.allclose(velocity, torch.full_like(velocity, 2 * w - 1), atol=0.05)


def test_guidance_sets_the_extras_and_evaluates_once() -> None:
    net, guidance = GuidanceReader(), CFGConditioning(CFGConditioningConfig(scale=2.0, t_min=0.25, t_max=0.75))
    state = _states()[1]
    for scale, fraction in ((2.0, 0.5), (4.0, 0.75), (1.0, 0.0)):
        guidance.with_scale(scale).wrap(net, NULL)(state, TIMES, Condition(torch.ones(4, 1, 1)))
        assert net.calls[-1][1].extras["guidance"].tolist() == [[fraction, 0.25, 0.75]] * 4
    assert len(net.calls) == 3
    assert guidance.config.scale == 2.0
    with pytest.raises(ConfigError, match=r"at least 1 .*got 0.5"):
        guidance.with_scale(0.5)


# -- runs ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", ["imagenet", "t2i"])
def test_guidance_is_chosen_at_sampling(small: dict[str, Any], tmp_path: Path, task: str) -> None:
    small["optimizer"]["lr"] = 0.02
    built = build_pipeline({**small, "task": task, "method": "meanflow-cfg-conditioned", "tokenizer": "openmoji-vae"})
    trained = Run(built, tmp_path).train()
    samples = {scale: trained.generate(PROMPTS[task], guidance=scale, tensors=True) for scale in (1.0, 2.0, 7.0)}
    assert all(x.isfinite().all() for x in samples.values())
    assert torch.equal(samples[2.0], trained.generate(PROMPTS[task], tensors=True))  # the configured scale
    assert (samples[1.0] - samples[2.0]).abs().max() > 1e-6
    assert (samples[2.0] - samples[7.0]).abs().max() > 1e-6
    loaded = Pipeline.load(trained.save(tmp_path / "saved"))
    assert torch.equal(loaded.generate(PROMPTS[task], guidance=7.0, tensors=True), samples[7.0])
    one = trained.generate(PROMPTS[task][:1], guidance=7.0, tensors=True)
    assert torch.allclose(one, samples[7.0][:1], atol=1e-4)
    assert trained.generate(PROMPTS[task], guidance=7.0, steps=2, tensors=True).isfinite().all()


def test_the_interval_is_chosen_in_the_configuration(small: dict[str, Any]) -> None:
    options = {
        "method": "meanflow-cfg-conditioned",
        "guidance": {"cfg-conditioned": {"scale": 4.0, "t_min": 0.4, "t_max": 0.65}},
    }
    guidance = resolve({**small, **options}).groups["guidance"]
    assert list(guidance) == ["cfg-conditioned"]
    assert guidance["cfg-conditioned"].config == CFGConditioningConfig(scale=4.0, t_min=0.4, t_max=0.65)


def test_pixels_with_internal_guidance_and_a_scale_at_sampling(small: dict[str, Any]) -> None:
    """A number as `guidance` sets the scale of the outermost guidance."""
    pipeline = build_pipeline({**small, "method": "pixel-meanflow", "tokenizer": "pixel",
                           "objective": {"name": "meanflow-cfg-conditioned", "prediction": "x"},
                           "guidance": {"internal": {"scale": 1.5}}})  # fmt: skip
    assert list(pipeline.guidance) == ["internal", "cfg-conditioned"]
    assert pipeline.generate([1], guidance=3.0, tensors=True).isfinite().all()


def test_guidance_without_a_conditioned_objective_is_refused(small: dict[str, Any]) -> None:
    with pytest.raises(
        Incompatible, match=r"guidance 'cfg-conditioned' needs an objective that provides 'cfg-conditioned'"
    ):
        resolve({**small, "method": "improved-meanflow", "guidance": "cfg-conditioned"})


def test_options_are_checked() -> None:
    for name, value in {"scale_max": 0.5, "scale_power": -1.0, "scale": 2.0, "prediction": "noise"}.items():
        with pytest.raises(ConfigError, match=rf"objective.*{name}"):
            structure({name: value}, CFGConditionedMeanFlowConfig, "objective")
