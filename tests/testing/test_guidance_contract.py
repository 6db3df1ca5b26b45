"""Guidances that are wrong in one way, and the test of the contract that fails for each."""

import pytest
import torch
from contracts import failures

from nanogen_core import ClassifierFree, ClassifierFreeConfig
from nanogen_core.testing import GuidanceContract


class Wrapped(ClassifierFree):
    """A healthy guidance whose velocity `spoil` changes."""

    def wrap(self, velocity_fn, null):
        guided = super().wrap(velocity_fn, null)
        return lambda *inputs: self.spoiled(guided(*inputs))

    def spoiled(self, prediction):
        return prediction._replace(value=prediction.value.map(self.spoil))

    def with_scale(self, scale):
        return type(self)(super().with_scale(scale).config)


class MixesRows(Wrapped):
    def spoil(self, velocity):
        return velocity - velocity.mean(dim=0)


class Random(Wrapped):
    def spoil(self, velocity):
        return velocity + 0.01 * torch.randn(velocity.shape)


class Biased(Wrapped):
    """Changes velocities at scale 1."""

    def spoil(self, velocity):
        return 1.1 * velocity


class Short(Wrapped):
    def spoil(self, velocity):
        return velocity[:, :1]


class Idle(ClassifierFree):
    def wrap(self, velocity_fn, null):
        return velocity_fn


BROKEN = {
    MixesRows: {"samples_are_independent_and_use_no_global_random_numbers"},
    Random: {"samples_are_independent_and_use_no_global_random_numbers"},
    Biased: {"scale_one_is_no_guidance"},
    Short: {"velocities_keep_their_shape"},
    Idle: {"guidance_has_an_effect"},
}


def test_classifier_free_guidance_passes():
    assert failures(GuidanceContract, guidance=ClassifierFree(ClassifierFreeConfig(scale=3.0))) == set()


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_guidance_is_caught(broken):
    assert failures(GuidanceContract, guidance=broken(ClassifierFreeConfig(scale=3.0))) >= BROKEN[broken]
