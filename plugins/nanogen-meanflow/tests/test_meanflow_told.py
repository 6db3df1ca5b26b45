"""Guidance that the network is told of: drawn by its law, learnt by its equation, chosen at sampling on both tasks."""

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
from nanogen_core.randomness import Draws
from nanogen_core.specs import LatentSpec
from nanogen_core.structure import structure
from nanogen_core.tensors import Condition, Prediction, State, Times, per_sample, where_null
from nanogen_core.testing import ObjectiveContract
from nanogen_core.testing.comparison import LATENT as CONTRACT_LATENT
from nanogen_meanflow.config import ToldGuidanceConfig, ToldMeanFlowConfig
from nanogen_meanflow.told import ToldGuidance, ToldMeanFlow, scales
from nanogen_train.trainer.loop import Run

LATENT = LatentSpec(2, 4, 4, factor=16)
TIMES = Times(torch.tensor([0.9, 0.6, 0.5, 0.3]), torch.tensor([0.1, 0.5, 0.0, 0.2]))
TOLD = torch.tensor([[0.8, 0.1, 0.7], [0.8, 0.1, 0.7], [0.5, 0.5, 1.0], [0.25, 0.4, 0.6]])  # holds in rows 1 and 2
CONDITION, NULL = Condition(torch.ones(4, 1, 1), told=TOLD), Condition(torch.zeros(4, 1, 1))
ASKED = {"imagenet": [0, 1], "t2i": ["a red circle", "a star"]}


class TestTold(ObjectiveContract):
    """Without guidance, since with it the truth of the contract's oracle is not what is learnt."""

    @pytest.fixture
    def objective(self) -> ToldMeanFlow:
        return ToldMeanFlow(ToldMeanFlowConfig(scale_max=1.0), latent=CONTRACT_LATENT)


class Listening(nn.Module):
    """Answers `c z`, where c is 0.5 plus the share that it is told, plus the length of the interval that it is told;
    a tenth of it where the condition is null. Keeps what it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.least = nn.Parameter(torch.tensor(0.5))
        self.asked: list[tuple[Times, Condition]] = []

    def forward(self, state: State, times: Times, condition: Condition) -> Prediction:
        self.asked.append((times, condition))
        told = torch.tensor([[0.0, 0.0, 1.0]]) if condition.told is None else condition.told
        slope = self.least + told[:, 0] + told[:, 2] - told[:, 1] + 0 * times.t
        given = condition.tokens[:, 0, 0]
        return Prediction(State(per_sample(slope * (0.1 + 0.9 * given), state.latent) * state.latent))


def _states() -> tuple[State, State]:
    draws = Draws(0, range(4))
    return State(draws.normal("clean", LATENT.shape)), State(draws.normal("noise", LATENT.shape))


def _objective(**options: Any) -> ToldMeanFlow:
    return ToldMeanFlow(ToldMeanFlowConfig(**options), latent=LATENT)


def test_the_target_by_hand() -> None:
    net, (clean, noise) = Listening(), _states()
    found = _objective().answer(_objective().ask(net, clean, noise, TIMES, CONDITION, NULL), jumps=True)
    t, r = (x.numpy().reshape(4, 1, 1, 1) for x in TIMES)
    data, chance = clean.latent.numpy(), noise.latent.numpy()
    z, v = (1 - t) * data + t * chance, chance - data
    share = np.array([0.0, 0.8, 0.5, 0.0]).reshape(4, 1, 1, 1)  # t is outside of the interval in rows 0 and 3
    own, free = (0.5 + share + 1) * z, 0.1 * (0.5 + 1) * z
    target = v + share * (own - free)
    slope = (0.5 + TOLD[:, 0] + TOLD[:, 2] - TOLD[:, 1]).numpy().reshape(4, 1, 1, 1)  # of u, which hears all of it
    error = ((slope * z + (t - r) * slope * own - target) ** 2).reshape(4, -1).sum(1)
    assert np.allclose(found.target, target, atol=1e-5)
    assert np.allclose(found.du_dt, slope * own, atol=1e-5)
    assert np.allclose(found.error.detach(), error, rtol=1e-4)


def test_rows_without_condition_learn_the_plain_velocity_and_hear_the_same() -> None:
    net, (clean, noise) = Listening(), _states()
    dropped = torch.tensor([False, True, False, True])
    condition = where_null(dropped, CONDITION, NULL)
    found = _objective().answer(_objective().ask(net, clean, noise, TIMES, condition, NULL), jumps=True)
    velocity = noise.latent - clean.latent
    assert torch.allclose(found.target[dropped], velocity[dropped], atol=1e-5)
    assert not torch.allclose(found.target[2], velocity[2], atol=0.1)
    assert torch.equal(net.asked[-1][1].told, TOLD)


def test_what_the_network_is_told_and_when() -> None:
    """The pass that is learnt hears its interval, own velocities the scale at t in all of time, null w = 1."""
    for jumps in (True, False):
        net = Listening()
        objective = _objective(probability=float(jumps))
        objective.loss({"student": net}, _states()[0], CONDITION, NULL, Draws(0, range(4)))
        learnt = net.asked[-1 if jumps else 0]
        own = [(times, asked) for times, asked in net.asked[:-1] if asked.told is not None] if jumps else []
        free = [asked for _, asked in net.asked if asked.told is None]
        share, start, end = learnt[1].told.unbind(1)
        assert len(own) == jumps
        assert [asked.tokens.any().item() for asked in free] == [False]
        assert all(torch.equal(times.t, times.r) for times, _ in own)
        t = learnt[0].t
        for _, asked in own:
            held = torch.where((t >= start) & (t <= end), share, 0)
            assert torch.equal(asked.told, torch.stack([held, torch.zeros(4), torch.ones(4)], dim=1))
        if not jumps:
            assert start.tolist() == [0] * 4
            assert end.tolist() == [1] * 4


def _told(objective: ToldMeanFlow, rng: Draws) -> Tensor:
    jumps = torch.ones(len(rng.slots), dtype=torch.bool)
    told = objective.told(Condition(torch.ones(len(rng.slots), 1, 1)), jumps, rng).told
    assert told is not None
    return told


@pytest.mark.parametrize("power", [0.0, 0.999, 1.0, 2.0])
def test_scales_follow_their_law(power: float) -> None:
    drawn = scales(torch.rand(20000, generator=torch.Generator().manual_seed(0), dtype=torch.float64), 8.0, power)
    w = np.linspace(1, 8, 70001)
    density = w**-power
    integral = np.concatenate([[0], np.cumsum((density[1:] + density[:-1]) / 2)])
    expected = np.interp(drawn.sort().values, w, integral / integral[-1])  # uniform, if the law is kept
    assert drawn.min() >= 1
    assert drawn.max() <= 8
    assert np.abs(expected - np.linspace(0, 1, 20000)).max() < 0.015  # Kolmogorov and Smirnov, 0.0115 at 1 percent


def test_intervals_are_uniform_before_the_shift_of_the_times() -> None:
    share, start, end = _told(_objective(shift=1.0), Draws(0, range(4000))).unbind(1)
    assert ((share >= 0) & (share < 7 / 8)).all()
    for ends, low in ((start, 0.0), (end, 0.5)):
        assert ((ends >= low) & (ends <= low + 0.5)).all()
        assert abs(float(ends.mean()) - low - 0.25) < 0.01
        assert abs(float(ends.std()) - 0.5 / 12**0.5) < 0.005
    assert abs(float(torch.corrcoef(torch.stack([share, start, end])).triu(1).abs().max())) < 0.05
    turned = _told(_objective(shift=3.0), Draws(0, range(4000)))
    assert torch.allclose(turned[:, 1:], torch.stack([3 * x / (1 + 2 * x) for x in (start, end)], dim=1))


def test_a_sample_without_an_interval_of_time_is_guided_in_all_of_it() -> None:
    objective, rng, jumps = _objective(shift=1.0), Draws(0, range(64)), torch.arange(64) % 2 == 0
    told = objective.told(Condition(torch.ones(64, 1, 1)), jumps, rng).told
    assert told is not None
    assert torch.equal(told[jumps], _told(objective, rng)[jumps])
    assert told[~jumps, 1:].tolist() == [[0.0, 1.0]] * 32
    assert torch.equal(told[:, 0], _told(objective, rng)[:, 0])


def test_draws_are_keyed_by_slot_and_step() -> None:
    objective = _objective()
    whole, part = _told(objective, Draws(3, range(6), step=2)), _told(objective, Draws(3, (4, 5), step=2))
    assert torch.equal(whole[4:], part)
    assert not torch.equal(whole, _told(objective, Draws(3, range(6), step=3)))


def test_every_weight_is_trained(make: Callable[..., nn.Module]) -> None:
    for jumps in (0.0, 1.0):
        net, tokens = make("told"), Condition(torch.ones(4, 3, 6))
        objective = _objective(probability=jumps)
        objective.loss({"student": net}, _states()[0], tokens, tokens, Draws(0, range(4))).total.backward()
        assert all(p.grad is not None and p.grad.isfinite().all() and p.grad.any() for p in net.parameters())


class Scaled(nn.Module):
    """Answers one number everywhere: a line in the scale w that it is told, and a number of its own for null."""

    def __init__(self) -> None:
        super().__init__()
        self.given = nn.Parameter(torch.zeros(2))
        self.free = nn.Parameter(torch.zeros(()))

    def forward(self, state: State, times: Times, condition: Condition) -> Prediction:
        share = torch.zeros(len(times.t)) if condition.told is None else condition.told[:, 0]
        features = torch.stack([torch.ones_like(share), 1 / (1 - share)], dim=1)  # 1 and w
        known = condition.tokens[:, 0, 0]
        slope = known * (features @ self.given) + (1 - known) * self.free
        return Prediction(State(per_sample(slope, state.latent) * torch.ones_like(state.latent)))


def test_it_learns_guidance_by_every_scale_at_once() -> None:
    """Data at -1 given the condition and at 1 without: v_c = 1, v_u = -1 and v_g = w v_c + (1 - w) v_u = 2 w - 1."""
    objective, net = _objective(scale_max=3.0), Scaled()
    optimizer = torch.optim.Adam(net.parameters(), 0.1)
    known = (torch.arange(32) % 4 > 0).float()
    condition, null = Condition(known[:, None, None], null=known == 0), Condition(torch.zeros(32, 1, 1))
    clean = State(per_sample(1 - 2 * known, torch.ones(32, *LATENT.shape)).expand(-1, *LATENT.shape))
    noise, t = clean.map(torch.zeros_like), torch.full([32], 0.5)
    for step in range(500):
        told = objective.told(condition, torch.zeros(32, dtype=torch.bool), Draws(0, range(32), step=step))
        error = objective.answer(objective.ask(net, clean, noise, Times(t, t), told, null), jumps=False).error
        optimizer.zero_grad()
        error.mean().backward()
        optimizer.step()
    for w in (1.0, 2.0, 3.0):
        guided = ToldGuidance(ToldGuidanceConfig(scale=w)).wrap(net, NULL)
        answer = guided(State(noise.latent[:4]), TIMES, Condition(torch.ones(4, 1, 1))).value.latent
        assert torch.allclose(answer, torch.full_like(answer, 2 * w - 1), atol=0.05)


def test_guidance_tells_and_asks_once() -> None:
    net, guidance = Listening(), ToldGuidance(ToldGuidanceConfig(scale=2.0, t_min=0.25, t_max=0.75))
    state = _states()[1]
    for scale, share in ((2.0, 0.5), (4.0, 0.75), (1.0, 0.0)):
        guidance.with_scale(scale).wrap(net, NULL)(state, TIMES, Condition(torch.ones(4, 1, 1)))
        assert net.asked[-1][1].told.tolist() == [[share, 0.25, 0.75]] * 4
    assert len(net.asked) == 3
    assert guidance.config.scale == 2.0
    with pytest.raises(ConfigError, match=r"at least 1 .*got 0.5"):
        guidance.with_scale(0.5)


# -- runs ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", ["imagenet", "t2i"])
def test_a_tiny_run_takes_its_guidance_at_sampling(small: dict[str, Any], tmp_path: Path, task: str) -> None:
    small["optimizer"]["lr"] = 0.02
    built = build_pipeline({**small, "task": task, "method": "told-meanflow", "tokenizer": "openmoji-vae"})
    trained = Run(built, tmp_path).train()
    samples = {scale: trained.generate(ASKED[task], guidance=scale, tensors=True) for scale in (1.0, 2.0, 7.0)}
    assert all(x.isfinite().all() for x in samples.values())
    assert torch.equal(samples[2.0], trained.generate(ASKED[task], tensors=True))  # the configured scale
    assert (samples[1.0] - samples[2.0]).abs().max() > 1e-6
    assert (samples[2.0] - samples[7.0]).abs().max() > 1e-6
    again = Pipeline.load(trained.save(tmp_path / "saved"))
    assert torch.equal(again.generate(ASKED[task], guidance=7.0, tensors=True), samples[7.0])
    one = trained.generate(ASKED[task][:1], guidance=7.0, tensors=True)
    assert torch.allclose(one, samples[7.0][:1], atol=1e-4)
    assert trained.generate(ASKED[task], guidance=7.0, steps=2, tensors=True).isfinite().all()


def test_the_interval_is_chosen_in_the_configuration(small: dict[str, Any]) -> None:
    made = {"method": "told-meanflow", "guidance": {"told": {"scale": 4.0, "t_min": 0.4, "t_max": 0.65}}}
    told = resolve({**small, **made}).groups["guidance"]
    assert list(told) == ["told"]
    assert told["told"].config == ToldGuidanceConfig(scale=4.0, t_min=0.4, t_max=0.65)


def test_pixels_and_a_plain_number_beside_internal_guidance(small: dict[str, Any]) -> None:
    """One line over pixel MeanFlow; a plain number speaks of what the network is told."""
    made = build_pipeline({**small, "method": "pixel-meanflow", "tokenizer": "pixel",
                           "objective": {"name": "told-meanflow", "prediction": "x"},
                           "guidance": {"internal": {"scale": 1.5}}})  # fmt: skip
    assert list(made.guidance) == ["internal", "told"]
    assert made.generate([1], guidance=3.0, tensors=True).isfinite().all()


def test_guidance_that_nobody_was_told_of_is_refused(small: dict[str, Any]) -> None:
    with pytest.raises(Incompatible, match=r"guidance 'told' needs an objective that provides 'told'"):
        resolve({**small, "method": "improved-meanflow", "guidance": "told"})


def test_options_are_checked() -> None:
    for name, value in {"scale_max": 0.5, "scale_power": -1.0, "scale": 2.0, "prediction": "noise"}.items():
        with pytest.raises(ConfigError, match=rf"objective.*{name}"):
            structure({name: value}, ToldMeanFlowConfig, "objective")
