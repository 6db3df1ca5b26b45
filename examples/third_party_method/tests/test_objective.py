"""Tests the loss of the objective."""

import pytest
import torch
from direction_nanogen.config import DirectionFlowConfig
from direction_nanogen.objective import DirectionFlow, direction_error
from torch import nn

from nanogen_core.randomness import KeyedRNG
from nanogen_core.specs import LatentSpec
from nanogen_core.tensors import Condition, Prediction, State
from nanogen_flow.config import FlowConfig
from nanogen_flow.objective import Flow

LATENT = LatentSpec(2, 4, 4)
CLEAN = State(KeyedRNG(0, range(6)).normal("clean", LATENT.shape))
CONDITION = Condition(torch.zeros(6, 1, 1))


class Constant(nn.Module):
    """Predicts one velocity everywhere, and the class token of the state."""

    def __init__(self):
        super().__init__()
        self.value = nn.Parameter(torch.ones(LATENT.shape))

    def forward(self, state, times, condition, intermediates=()):
        return Prediction(state._replace(latent=self.value.expand_as(state.latent)))


def loss(objective, *, clean=CLEAN, net=None):
    return objective.loss({"student": net or Constant()}, clean, CONDITION, CONDITION, KeyedRNG(1, range(6)))


def direction_flow(**options):
    return DirectionFlow(DirectionFlowConfig(**options), latent=LATENT)


def test_without_weight_it_is_the_flow():
    plain = loss(Flow(FlowConfig(), latent=LATENT)).total
    assert loss(direction_flow(direction=0.0)).total.item() == pytest.approx(plain.item(), rel=1e-6)


def test_the_equation_holds():
    found = loss(direction_flow(direction=0.5))
    expected = found.parts["flow"] + 0.5 * found.parts["direction"]
    assert found.total.item() == pytest.approx(expected.item(), rel=1e-6)


def test_the_direction_is_that_of_the_channels_of_a_cell():
    target = torch.tensor([3.0, 4.0])[None, :, None, None].expand(1, 2, 2, 2)
    assert direction_error(2 * target, target).item() == pytest.approx(0, abs=1e-6)
    assert direction_error(-target, target).item() == pytest.approx(2)
    turned = torch.stack([-target[:, 1], target[:, 0]], dim=1)
    assert direction_error(turned, target).item() == pytest.approx(1)
    half = torch.where(torch.tensor([True, False])[:, None], target, turned)  # a row of cells each
    assert direction_error(half, target).item() == pytest.approx(0.5)


def test_the_length_of_a_velocity_has_no_effect_on_its_direction():
    net = Constant()
    loss(direction_flow(direction=1.0), net=net).total.backward()
    with_direction = net.value.grad.clone()
    net.value.grad = None
    loss(direction_flow(direction=0.0), net=net).total.backward()
    added = with_direction - net.value.grad
    assert added.abs().max() > 1e-3
    assert (added * net.value).sum(dim=0).abs().max() < 1e-5  # orthogonal to the velocity in every cell


def test_the_class_token_keeps_its_loss():
    latent = LatentSpec(2, 4, 4, cls_token_width=3)
    clean = CLEAN._replace(cls_token=torch.ones(6, 3))
    found = loss(DirectionFlow(DirectionFlowConfig(direction=0.0), latent=latent), clean=clean)
    plain = loss(Flow(FlowConfig(), latent=latent), clean=clean)
    assert found.total.item() == pytest.approx(plain.total.item(), rel=1e-6)
    assert found.parts["cls_token"] == plain.parts["cls_token"]
