"""Backbones that are wrong in one way, and the test of the contract that says so."""

from functools import partial

import pytest
import torch
from contracts import failures
from torch import nn

from nanogen_core.tensors import Condition, Prediction, State, Times
from nanogen_core.testing import BackboneContract
from nanogen_core.testing.fakes import TinyBackbone, TinyBackboneConfig


class TwoTimeContract(BackboneContract):
    provides = frozenset({"two-time", "features", "jvp"})


class HeadContract(BackboneContract):
    provides = frozenset({"two-time", "internal-head"})


class ToldContract(BackboneContract):
    provides = frozenset({"two-time", "told"})


class Wrapped(TinyBackbone):
    """A healthy backbone whose answer `spoil` changes."""

    def forward(self, state, times, condition, taps=()):
        prediction = super().forward(state, times, condition, taps)
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
    def forward(self, state, times, condition, taps=()):
        state.latent.mul_(0.5)
        return super().forward(state, times, condition, taps)


class LeaksMaskedTokens(TinyBackbone):
    def forward(self, state, times, condition, taps=()):
        return super().forward(state, times, Condition(condition.tokens), taps)


class SeesTheNullText(TinyBackbone):
    """Takes an all-false mask for none at all."""

    def forward(self, state, times, condition, taps=()):
        mask = None if condition.mask is None else condition.mask | ~condition.mask.any(dim=1, keepdim=True)
        return super().forward(state, times, condition._replace(mask=mask), taps)


class AveragesNothing(TinyBackbone):
    """Divides by the number of real tokens."""

    def forward(self, state, times, condition, taps=()):
        if condition.mask is not None:
            real = condition.mask[..., None]
            mean = (condition.tokens * real).sum(dim=1, keepdim=True) / real.sum(dim=1, keepdim=True)
            condition = Condition(mean)
        return super().forward(state, times, condition, taps)


class BreaksGradients(TinyBackbone):
    """Has a root of the number of real tokens, whose derivative is infinite for none."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.share = nn.Parameter(torch.ones(()))

    def forward(self, state, times, condition, taps=()):
        count = torch.ones(len(condition.tokens)) if condition.mask is None else condition.mask.sum(dim=1)
        root = (self.share * count).sqrt()[:, None, None]
        return super().forward(state, times, condition._replace(tokens=condition.tokens * root), taps)


class IgnoresCondition(TinyBackbone):
    def forward(self, state, times, condition, taps=()):
        return super().forward(state, times, condition._replace(tokens=condition.tokens * 0), taps)


class IgnoresState(TinyBackbone):
    def forward(self, state, times, condition, taps=()):
        return super().forward(State(state.latent * 0), times, condition, taps)


class IgnoresTime(TinyBackbone):
    """Sees the interval alone."""

    def forward(self, state, times, condition, taps=()):
        return super().forward(state, Times(times.t * 0 + 1, times.r - times.t + 1), condition, taps)


class IgnoresR(TinyBackbone):
    def forward(self, state, times, condition, taps=()):
        return super().forward(state, Times(times.t, times.t), condition, taps)


class Unused(TinyBackbone):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.spare = nn.Linear(2, 2)


class NoTaps(TinyBackbone):
    def forward(self, state, times, condition, taps=()):
        return super().forward(state, times, condition)


class Detached(TinyBackbone):
    """Takes its times out of the graph, which leaves MeanFlow without du/dt."""

    def forward(self, state, times, condition, taps=()):
        return super().forward(state, Times(times.t.detach(), times.r), condition, taps)


class OddHead(TinyBackbone):
    def forward(self, state, times, condition, taps=()):
        value = super().forward(state, times, condition, taps).value
        return Prediction(value, heads={"base": State(value.latent[:, :1])})


BROKEN = {
    WrongShape: {"the_output_is_shaped_like_the_input"},
    Half: {"the_state_is_float32"},
    MixesRows: {"batch_items_are_kept_apart"},
    Dropout: {"evaluation_has_no_chance"},
    InPlace: {"inputs_are_left_as_they_were"},
    LeaksMaskedTokens: {"masked_tokens_do_not_leak", "a_null_text_is_not_seen"},
    SeesTheNullText: {"a_null_text_is_not_seen"},
    AveragesNothing: {"a_null_text_is_not_seen", "a_null_text_has_finite_derivatives"},
    BreaksGradients: {"a_null_text_has_finite_derivatives"},
    IgnoresCondition: {"the_condition_matters"},
    IgnoresState: {"the_state_matters"},
    IgnoresTime: {"time_matters"},
    IgnoresR: {"r_matters_exactly_where_stated"},
    Unused: {"every_parameter_gets_a_gradient"},
    NoTaps: {"taps_give_image_tokens"},
    Detached: {"forward_derivatives_exist"},
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_backbone_is_caught(broken):
    assert failures(TwoTimeContract, build=partial(broken, TinyBackboneConfig(two_time=True))) >= BROKEN[broken]


def test_an_odd_head_is_caught():
    build = partial(OddHead, TinyBackboneConfig(two_time=True))
    assert failures(HeadContract, build=build) == {"heads_are_shaped_like_the_value"}


def test_one_that_does_not_listen_is_caught():
    build = partial(TinyBackbone, TinyBackboneConfig(two_time=True))
    assert failures(ToldContract, build=build) == {"what_is_told_matters_exactly_where_stated"}


class HearsTheShare(TinyBackbone):
    def forward(self, state, times, condition, taps=()):
        share = condition.told[:, :1, None] if condition.told is not None else 0.0
        return super().forward(state, times, condition._replace(tokens=condition.tokens + share), taps)


def test_one_that_hears_a_part_is_caught():
    build = partial(HearsTheShare, TinyBackboneConfig(two_time=True))
    assert failures(ToldContract, build=build) == {"what_is_told_matters_exactly_where_stated"}
    assert failures(TwoTimeContract, build=build) == {"what_is_told_matters_exactly_where_stated"}


def test_a_plain_backbone_must_not_look_at_r():
    build = partial(TinyBackbone, TinyBackboneConfig(two_time=True))
    assert failures(BackboneContract, build=build) == {"r_matters_exactly_where_stated"}


def test_the_healthy_backbone_holds():
    assert failures(TwoTimeContract, build=partial(TinyBackbone, TinyBackboneConfig(two_time=True))) == set()
    assert failures(BackboneContract, build=partial(TinyBackbone, TinyBackboneConfig())) == set()


def test_an_unused_parameter_is_named():
    build = partial(Unused, TinyBackboneConfig(two_time=True))
    with pytest.raises(AssertionError, match=r"spare\.weight"):
        TwoTimeContract().test_every_parameter_gets_a_gradient(build)
