"""Backbones that are wrong in one way, and the test of the contract that says so."""

from functools import partial

import pytest
import torch
from contracts import failures
from torch import nn

from nanogen_core.tensors import Condition, Prediction, State, Times
from nanogen_core.testing import BackboneContract
from nanogen_data.testing.fakes import TinyBackbone, TinyBackboneConfig


class TwoTimeContract(BackboneContract):
    provides = frozenset({"two-time", "features", "jvp"})


class HeadContract(BackboneContract):
    provides = frozenset({"two-time", "internal-head"})


class ExtrasContract(BackboneContract):
    provides = frozenset({"two-time"})
    extras = {"guidance": 3}


class Wrapped(TinyBackbone):
    """A healthy backbone whose answer `spoil` changes."""

    def forward(self, state, times, condition, intermediates=()):
        prediction = super().forward(state, times, condition, intermediates)
        return prediction._replace(value=State(self.spoil(prediction.value.latent)))

    def spoil(self, value):
        return value


class WrongShape(Wrapped):
    def spoil(self, value):
        return value[:, :-1]


class Half(Wrapped):
    def spoil(self, value):
        return value.bfloat16()


class MixesRows(Wrapped):
    def spoil(self, value):
        return value - value.mean(dim=0)


class Dropout(Wrapped):
    """Drops out in evaluation too."""

    def spoil(self, value):
        return nn.functional.dropout(value, 0.1, training=True)


class InPlace(TinyBackbone):
    def forward(self, state, times, condition, intermediates=()):
        state.latent.mul_(0.5)
        return super().forward(state, times, condition, intermediates)


class LeaksMaskedTokens(TinyBackbone):
    def forward(self, state, times, condition, intermediates=()):
        return super().forward(state, times, Condition(condition.tokens), intermediates)


class SeesTheNullText(TinyBackbone):
    """Takes an all-false mask for none at all."""

    def forward(self, state, times, condition, intermediates=()):
        mask = None if condition.mask is None else condition.mask | ~condition.mask.any(dim=1, keepdim=True)
        return super().forward(state, times, condition._replace(mask=mask), intermediates)


class AveragesNothing(TinyBackbone):
    """Divides by the number of real tokens."""

    def forward(self, state, times, condition, intermediates=()):
        if condition.mask is not None:
            real = condition.mask[..., None]
            mean = (condition.tokens * real).sum(dim=1, keepdim=True) / real.sum(dim=1, keepdim=True)
            condition = Condition(mean)
        return super().forward(state, times, condition, intermediates)


class BreaksGradients(TinyBackbone):
    """Has a root of the number of real tokens, whose derivative is infinite for none."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.share = nn.Parameter(torch.ones(()))

    def forward(self, state, times, condition, intermediates=()):
        count = torch.ones(len(condition.tokens)) if condition.mask is None else condition.mask.sum(dim=1)
        root = (self.share * count).sqrt()[:, None, None]
        return super().forward(state, times, condition._replace(tokens=condition.tokens * root), intermediates)


class IgnoresCondition(TinyBackbone):
    def forward(self, state, times, condition, intermediates=()):
        return super().forward(state, times, condition._replace(tokens=condition.tokens * 0), intermediates)


class IgnoresState(TinyBackbone):
    def forward(self, state, times, condition, intermediates=()):
        return super().forward(State(state.latent * 0), times, condition, intermediates)


class IgnoresTime(TinyBackbone):
    """Sees the interval alone."""

    def forward(self, state, times, condition, intermediates=()):
        return super().forward(state, Times(times.t * 0 + 1, times.r - times.t + 1), condition, intermediates)


class IgnoresR(TinyBackbone):
    def forward(self, state, times, condition, intermediates=()):
        return super().forward(state, Times(times.t, times.t), condition, intermediates)


class Unused(TinyBackbone):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.spare = nn.Linear(2, 2)


class NoTaps(TinyBackbone):
    def forward(self, state, times, condition, intermediates=()):
        return super().forward(state, times, condition)


class Detached(TinyBackbone):
    """Takes its times out of the graph, which leaves MeanFlow without du/dt."""

    def forward(self, state, times, condition, intermediates=()):
        return super().forward(state, Times(times.t.detach(), times.r), condition, intermediates)


class OddHead(TinyBackbone):
    def forward(self, state, times, condition, intermediates=()):
        value = super().forward(state, times, condition, intermediates).value
        return Prediction(value, heads={"base": State(value.latent[:, :1])})


BROKEN = {
    WrongShape: {"output_has_the_shape_of_the_input"},
    Half: {"output_is_float32"},
    MixesRows: {"batch_items_are_independent"},
    Dropout: {"evaluation_is_deterministic"},
    InPlace: {"inputs_are_not_modified"},
    LeaksMaskedTokens: {"masked_tokens_have_no_effect", "null_text_has_no_effect"},
    SeesTheNullText: {"null_text_has_no_effect"},
    AveragesNothing: {"null_text_has_no_effect", "null_text_has_finite_derivatives"},
    BreaksGradients: {"null_text_has_finite_derivatives"},
    IgnoresCondition: {"output_depends_on_the_condition"},
    IgnoresState: {"output_depends_on_the_state"},
    IgnoresTime: {"output_depends_on_t"},
    IgnoresR: {"output_depends_on_r_exactly_with_two_time"},
    Unused: {"every_parameter_gets_a_gradient"},
    NoTaps: {"intermediates_are_image_tokens"},
    Detached: {"forward_derivatives_exist"},
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_backbone_is_caught(broken):
    assert failures(TwoTimeContract, build=partial(broken, TinyBackboneConfig(two_time=True))) >= BROKEN[broken]


def test_an_odd_head_is_caught():
    build = partial(OddHead, TinyBackboneConfig(two_time=True))
    assert failures(HeadContract, build=build) == {"heads_have_the_shape_of_the_value"}


def test_one_that_ignores_the_extras_is_caught():
    build = partial(TinyBackbone, TinyBackboneConfig(two_time=True))
    assert failures(ExtrasContract, build=build) == {"output_depends_on_every_extra"}


class ReadsOneNumber(TinyBackbone):
    def forward(self, state, times, condition, intermediates=()):
        share = condition.extras["guidance"][:, :1, None] if condition.extras else 0.0
        return super().forward(state, times, condition._replace(tokens=condition.tokens + share), intermediates)


def test_one_that_ignores_some_numbers_is_caught():
    build = partial(ReadsOneNumber, TinyBackboneConfig(two_time=True))
    assert failures(ExtrasContract, build=build) == {"output_depends_on_every_extra"}


def test_a_plain_backbone_must_not_look_at_r():
    build = partial(TinyBackbone, TinyBackboneConfig(two_time=True))
    assert failures(BackboneContract, build=build) == {"output_depends_on_r_exactly_with_two_time"}


def test_the_healthy_backbone_holds():
    assert failures(TwoTimeContract, build=partial(TinyBackbone, TinyBackboneConfig(two_time=True))) == set()
    assert failures(BackboneContract, build=partial(TinyBackbone, TinyBackboneConfig())) == set()


def test_an_unused_parameter_is_named():
    build = partial(Unused, TinyBackboneConfig(two_time=True))
    with pytest.raises(AssertionError, match=r"spare\.weight"):
        TwoTimeContract().test_every_parameter_gets_a_gradient(build)
