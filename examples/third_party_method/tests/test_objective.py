"""Tests the loss and the calibration of the objective."""

import pytest
import torch
from contrastive_nanogen.config import ContrastiveFlowConfig
from contrastive_nanogen.objective import ContrastiveFlow, negatives
from torch import nn

from nanogen_core.errors import NanoGenError
from nanogen_core.randomness import KeyedRNG
from nanogen_core.specs import LatentSpec
from nanogen_core.tensors import Condition, Prediction, State, Times
from nanogen_flow.config import FlowConfig
from nanogen_flow.objective import Flow

LATENT = LatentSpec(2, 4, 4)
CLEAN = State(KeyedRNG(0, range(6)).normal("clean", LATENT.shape))
CONDITION = Condition(torch.zeros(6, 1, 1))


class Constant(nn.Module):
    """Predicts one velocity everywhere."""

    def __init__(self):
        super().__init__()
        self.value = nn.Parameter(torch.zeros(LATENT.shape))

    def forward(self, state, times, condition, intermediates=()):
        return Prediction(State(self.value.expand_as(state.latent)))


def contrastive(**options):
    return ContrastiveFlow(ContrastiveFlowConfig(**options), latent=LATENT)


def loss(objective, *, rows=6, net=None):
    clean = CLEAN.map(lambda x: x[:rows])
    condition = Condition(CONDITION.tokens[:rows])
    return objective.loss({"student": net or Constant()}, clean, condition, condition, KeyedRNG(1, range(rows)))


def test_without_repulsion_it_is_the_flow():
    plain = loss(Flow(FlowConfig(), latent=LATENT)).total
    assert loss(contrastive(repulsion=0.0)).total.item() == pytest.approx(plain.item(), rel=1e-6)


def test_a_single_sample_is_not_repelled_by_itself():
    plain = loss(Flow(FlowConfig(), latent=LATENT), rows=1).total
    assert loss(contrastive(repulsion=0.5), rows=1).total.item() == pytest.approx(plain.item(), rel=1e-6)


def test_the_equation_holds():
    losses = loss(contrastive(repulsion=0.1))
    expected = losses.parts["flow"] - 0.1 * losses.parts["flow-other"]
    assert losses.total.item() == pytest.approx(expected.item(), rel=1e-6)


def test_nobody_is_their_own_negative():
    others = negatives(KeyedRNG(0, range(50)))
    assert sorted(others.tolist()) == list(range(50))
    assert not (others == torch.arange(50)).any()


def test_the_loss_is_bounded_for_every_repulsion_that_is_allowed():
    with pytest.raises(ValueError, match="repulsion"):
        ContrastiveFlowConfig(repulsion=1.0)


def test_calibration_scales_what_is_sampled_and_not_what_is_learnt():
    state, times = State(torch.ones(1, *LATENT.shape)), Times(torch.ones(1), torch.ones(1))
    calibrated = contrastive(repulsion=0.1, calibrated=True)
    assert calibrated.velocity(Prediction(state), state, times).value.latent.mean().item() == pytest.approx(0.9)
    assert loss(calibrated).total.item() == pytest.approx(loss(contrastive(repulsion=0.1)).total.item())


def test_the_optimum_is_the_flow_pushed_from_the_mean_of_all_flows():
    """For a constant field the gradient at the mean velocity is zero with any repulsion: it is both means."""
    net = Constant()
    loss(contrastive(repulsion=0.0), net=net).total.backward()
    plain = net.value.grad.clone()
    net.value.grad = None
    loss(contrastive(repulsion=0.3), net=net).total.backward()
    assert torch.allclose(net.value.grad, 0.7 * plain, atol=1e-6)


def test_a_further_token_is_refused():
    with pytest.raises(NanoGenError, match="REG"):
        ContrastiveFlow(ContrastiveFlowConfig(), latent=LatentSpec(2, 4, 4, cls_token_width=3))
