"""SRA against its equation, on two different networks and a path that is no straight line."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from nanogen_core.errors import NanoGenError, TrainingError
from nanogen_core.randomness import KeyedRNG
from nanogen_core.specs import ConditionSpec, LatentSpec
from nanogen_core.tensors import Batch, Condition, ForwardPass, State, Times
from nanogen_core.testing.comparison import fill_zero_parameters
from nanogen_dit import LightningDiT, LightningDiTConfig
from nanogen_flow import Flow, FlowConfig
from nanogen_selfsupervised import SelfAlignment, SelfAlignmentConfig
from nanogen_selfsupervised.sra import earlier

LATENT, LABELS = LatentSpec(4, 8, 8, factor=8), ConditionSpec(11, 1, learned=2)
ROWS = 3
BATCH = Batch(torch.arange(ROWS))


class Quadratic(Flow):
    """The path (1 - t^2) clean + t^2 noise."""

    def interpolate(self, clean, noise, t):
        return super().interpolate(clean, noise, t**2)


def network(seed, wanted=()):
    torch.manual_seed(seed)
    config = LightningDiTConfig(hidden=16, depth=3, heads=1)
    net = LightningDiT(config, latent=LATENT, condition=LABELS, wanted=frozenset(wanted))
    fill_zero_parameters(net)
    return net


def auxiliary(net, objective, **options):
    options = {"block": 1, "teacher_block": 3, **options}
    return SelfAlignment(
        SelfAlignmentConfig(**options), backbone=net, latent=LATENT, condition=LABELS, objective=objective
    )


@pytest.fixture
def inputs():
    rng = KeyedRNG(5, range(ROWS))
    clean, noise = (State(rng.normal(name, LATENT.shape)) for name in ("clean", "noise"))
    return clean, noise, Condition(rng.normal("condition", (1, 11)))


def forward_pass(net, objective, inputs, times):
    clean, noise, condition = inputs
    state = objective.interpolate(clean, noise, times.t)
    prediction = net(state, times, condition, intermediates=("block.1",))
    return ForwardPass(state, times, prediction, state, noise, condition)


@pytest.mark.parametrize("distance", ["smooth-l1", "cosine"])
def test_the_equation_holds(inputs, distance):
    student, teacher, objective = network(0), network(1).eval(), Quadratic(FlowConfig(), latent=LATENT)
    loss = auxiliary(student, objective, interval=0.3, weight=0.4, distance=distance, beta=0.1)
    rng, t = KeyedRNG(7, range(ROWS), step=2), torch.tensor([0.9, 0.5, 0.05])
    passed = forward_pass(student, objective, inputs, Times(t, t))
    found = loss.loss(passed, inputs[0], BATCH, nn.ModuleDict({"student": student, "ema": teacher}), rng)

    clean, noise, condition = inputs
    before = (t - 0.3 * rng.uniform("sra.time")).clamp(min=0)
    assert before[2] == 0 or before[2] < 0.05
    share = (before**2)[:, None, None, None]
    state = State((1 - share) * clean.latent + share * noise.latent)
    target = teacher(state, Times(before, before), condition, intermediates=("block.3",)).features["block.3"]
    first, _, second = loss.nets
    projected = second(F.silu(first(passed.prediction.features["block.1"])))
    if distance == "cosine":
        a, b = F.normalize(projected, dim=-1), F.normalize(target, dim=-1)
        expected = 1 - (a * b).sum(dim=-1).mean()
    else:
        error = (projected - target).abs()
        expected = torch.where(error < 0.1, error**2 / 0.2, error - 0.05).mean()
    torch.testing.assert_close(found.parts["distance"], expected.detach())
    torch.testing.assert_close(found.total, 0.4 * expected)


def test_gradients_reach_the_student_and_the_projector_only(inputs):
    student, teacher, objective = network(0), network(1), Flow(FlowConfig(), latent=LATENT)
    loss, t = auxiliary(student, objective), torch.tensor([0.9, 0.5, 0.2])
    passed = forward_pass(student, objective, inputs, Times(t, t))
    loss.loss(passed, inputs[0], BATCH, {"ema": teacher}, KeyedRNG(0, range(ROWS))).total.backward()
    assert all(p.grad is not None and p.grad.any() for p in loss.nets.parameters())
    assert any(p.grad is not None for p in student.encoder.blocks[0].parameters())
    assert all(p.grad is None for p in student.encoder.blocks[1].parameters())
    assert all(p.grad is None for p in teacher.parameters())


def test_times_are_earlier_for_samples_and_for_tokens():
    t, by = torch.tensor([0.9, 0.5, 0.1]), torch.tensor([0.2, 0.1, 0.3])
    expected = torch.tensor([0.7, 0.4, 0.0])
    for times in (Times(t, t), Times(t[:, None].repeat(1, 4), t[:, None].repeat(1, 4))):
        found = earlier(times, by)
        shape = times.t.shape
        torch.testing.assert_close(found.t, expected.reshape(-1, *[1] * (len(shape) - 1)).expand(shape))
        assert torch.equal(found.t, found.r)
    interval = earlier(Times(t, torch.tensor([0.3, 0.45, 0.0])), by)
    torch.testing.assert_close(interval.r, torch.tensor([0.3, 0.4, 0.0]))


def test_a_block_that_does_not_exist_is_an_error():
    with pytest.raises(NanoGenError, match="no intermediate 'block.4'"):
        auxiliary(network(0), Flow(FlowConfig(), latent=LATENT), teacher_block=4)


def test_a_stage_without_an_average_is_an_error(inputs):
    net, objective, t = network(0), Flow(FlowConfig(), latent=LATENT), torch.tensor([0.9, 0.5, 0.2])
    passed = forward_pass(net, objective, inputs, Times(t, t))
    with pytest.raises(TrainingError, match="nets\\['ema'\\]"):
        auxiliary(net, objective).loss(passed, inputs[0], BATCH, {"student": net}, KeyedRNG(0, range(ROWS)))
