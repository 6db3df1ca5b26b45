"""Samplers that are wrong in one way, and the test of the contract that fails for each."""

import pytest
import torch
from contracts import failures

from nanogen_core import Euler, Heun, SamplerConfig
from nanogen_core.sampling import intervals
from nanogen_core.testing import SamplerContract

HEALTHY = {Euler: 1, Heun: 2}


class StopsHalfWay(Euler):
    def sample(self, objective, velocity_fn, noise, condition, steps, rng):
        first = next(intervals(objective.grid(2), noise.latent))
        return self._step(objective, velocity_fn, noise, first, condition)


class GlobalNoise(Euler):
    def sample(self, *arguments):
        return super().sample(*arguments).map(lambda x: x + 0.01 * torch.randn(x.shape))


class Reseeded(Euler):
    """Adds numbers of the rng, though it is declared deterministic."""

    def sample(self, objective, velocity_fn, noise, condition, steps, rng):
        state = super().sample(objective, velocity_fn, noise, condition, steps, rng)
        return state._replace(latent=state.latent + 0.01 * rng.normal("more", state.latent.shape[1:]))


class DropsTheToken(Euler):
    def sample(self, *arguments):
        return super().sample(*arguments)._replace(cls_token=None)


class MixesRows(Euler):
    def sample(self, *arguments):
        return super().sample(*arguments).map(lambda x: x - x.mean(dim=0))


class Coarse(Euler):
    """Takes at most four steps."""

    def sample(self, objective, velocity_fn, noise, condition, steps, rng):
        return super().sample(objective, velocity_fn, noise, condition, min(steps, 4), rng)


class Half(Euler):
    def sample(self, *arguments):
        return super().sample(*arguments).map(lambda x: x.bfloat16())


BROKEN = {
    StopsHalfWay: {"error_falls_with_the_order"},
    GlobalNoise: {"a_sample_is_independent_of_the_batch"},
    Reseeded: {"random_numbers_come_from_the_rng"},
    DropsTheToken: {"samples_have_the_shape_and_dtype_of_the_noise"},
    MixesRows: {"a_sample_is_independent_of_the_batch"},
    Coarse: {"error_falls_with_the_order"},
    Half: {"samples_have_the_shape_and_dtype_of_the_noise"},
}


@pytest.mark.parametrize("sampler", HEALTHY)
def test_a_healthy_sampler_passes(sampler):
    contract = type("Contract", (SamplerContract,), {"order": HEALTHY[sampler]})
    assert failures(contract, sampler=sampler(SamplerConfig())) == set()


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_sampler_is_caught(broken):
    assert failures(SamplerContract, sampler=broken(SamplerConfig())) >= BROKEN[broken]


def test_a_sampler_of_lower_order_than_declared_is_caught():
    contract = type("Contract", (SamplerContract,), {"order": 2})
    assert failures(contract, sampler=Euler(SamplerConfig())) == {"error_falls_with_the_order"}
