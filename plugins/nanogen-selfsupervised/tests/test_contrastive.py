"""Contrastive flow matching against its equation: loss, optimum and calibration."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from nanogen_core.randomness import KeyedRNG
from nanogen_core.specs import LatentSpec
from nanogen_core.tensors import Condition, Prediction, State, Times
from nanogen_flow import Flow, FlowConfig
from nanogen_selfsupervised import ContrastiveFlow, ContrastiveFlowConfig
from nanogen_selfsupervised.contrastive import negatives

LATENT = LatentSpec(2, 4, 4)
CLEAN = State(KeyedRNG(0, range(6)).normal("clean", LATENT.shape))
CONDITION = Condition(torch.zeros(6, 1, 1))
CLEAR = {"internal_weight": 0.3, "shift": 1.0, "time_mean": 1.0}  # times above t_eps, where the target is n - x


class Constant(nn.Module):
    """Predicts one velocity everywhere, another one by its head, and half of the class token."""

    def __init__(self, *, head=False):
        super().__init__()
        self.value = nn.Parameter(torch.linspace(-1, 1, 32).reshape(LATENT.shape))
        self.head = head

    def forward(self, state, times, condition, intermediates=()):
        token = None if state.cls_token is None else 0.5 * state.cls_token
        heads = {"internal": State(2 * self.value.expand_as(state.latent))} if self.head else {}
        return Prediction(State(self.value.expand_as(state.latent), token), heads=heads)


def contrastive(latent=LATENT, **options):
    return ContrastiveFlow(ContrastiveFlowConfig(**options), latent=latent)


def loss(objective, *, clean=CLEAN, rows=6, net=None):
    clean = clean.map(lambda x: x[:rows])
    condition = Condition(CONDITION.tokens[:rows])
    return objective.loss({"student": net or Constant()}, clean, condition, condition, KeyedRNG(1, range(rows)))


@pytest.mark.parametrize("calibrated", [False, True])
def test_the_loss_is_that_of_the_paper_sample_by_sample(calibrated):
    """|v - (n_i - x_i)|^2 - lambda |v - (n_j - x_j)|^2, with the data and the noise of the forward pass."""
    objective, net = contrastive(repulsion=0.2, calibrated=calibrated, **CLEAR), Constant(head=True)
    found, others = loss(objective, net=net), negatives(KeyedRNG(1, range(6)))
    velocities = found.forward_pass.noise.latent - CLEAN.latent
    total = torch.zeros(())
    for row in range(6):
        for weight, predicted in ((1.0, net.value), (0.3, 2 * net.value)):
            own, other = velocities[row], velocities[others[row]]
            total = total + weight * (((predicted - own) ** 2).mean() - 0.2 * ((predicted - other) ** 2).mean()) / 6
    assert (found.forward_pass.times.t > objective.config.t_eps).all()
    assert found.total.item() == pytest.approx(total.item(), rel=1e-5)


def test_without_repulsion_it_is_the_flow():
    net = Constant(head=True)
    plain = loss(Flow(FlowConfig(internal_weight=0.3), latent=LATENT), net=net).total
    assert loss(contrastive(repulsion=0.0, internal_weight=0.3), net=net).total.item() == pytest.approx(plain.item())


def test_a_single_sample_is_not_repelled_by_itself():
    plain = loss(Flow(FlowConfig(), latent=LATENT), rows=1).total
    assert loss(contrastive(repulsion=0.5), rows=1).total.item() == pytest.approx(plain.item(), rel=1e-6)


def test_the_class_token_keeps_the_plain_loss():
    latent = LatentSpec(2, 4, 4, cls_token_width=3)
    clean = CLEAN._replace(cls_token=torch.ones(6, 3))
    plain = loss(Flow(FlowConfig(), latent=latent), clean=clean).parts
    found = loss(contrastive(latent, repulsion=0.3, calibrated=True), clean=clean)
    assert found.parts["cls_token"] == plain["cls_token"]
    expected = found.parts["flow"] - 0.3 * found.parts["flow-other"] + 0.03 * plain["cls_token"]
    assert found.total.item() == pytest.approx(expected.item(), rel=1e-6)


def test_no_sample_is_its_own_negative_and_every_other_one_is_equally_likely():
    counts = torch.zeros(5, 5)
    for step in range(2000):
        others = negatives(KeyedRNG(0, range(5), step=step))
        assert sorted(others.tolist()) == list(range(5))
        counts[torch.arange(5), others] += 1
    assert not counts.diagonal().any()
    off = counts[~torch.eye(5, dtype=torch.bool)]
    assert (off - 500).abs().max() < 5 * (2000 * 0.25 * 0.75) ** 0.5


def test_the_optimum_is_the_flow_pushed_from_the_mean_of_all_flows():
    """For a constant field the gradient of both terms is towards the same mean."""
    gradients = []
    for repulsion in (0.0, 0.3):
        net = Constant()
        loss(contrastive(repulsion=repulsion), net=net).total.backward()
        gradients.append(net.value.grad)
    assert torch.allclose(gradients[1], 0.7 * gradients[0], atol=1e-6)


def test_calibration_scales_sampled_velocities_and_not_the_loss():
    state, times = State(torch.ones(1, *LATENT.shape)), Times(torch.ones(1), torch.ones(1))
    calibrated = contrastive(repulsion=0.1, calibrated=True)
    prediction = Prediction(state._replace(cls_token=torch.ones(1, 3)), heads={"internal": state})
    found = calibrated.velocity(prediction, state._replace(cls_token=torch.ones(1, 3)), times)
    assert found.value.latent.mean().item() == pytest.approx(0.9)
    assert found.heads["internal"].latent.mean().item() == pytest.approx(0.9)
    assert found.value.cls_token.mean().item() == 1
    assert loss(calibrated).total.item() == pytest.approx(loss(contrastive(repulsion=0.1)).total.item())


def test_a_repulsion_without_a_minimum_is_refused():
    with pytest.raises(ValueError, match="repulsion"):
        ContrastiveFlowConfig(repulsion=1.0)
