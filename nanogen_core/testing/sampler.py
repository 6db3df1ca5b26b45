"""Contract tests for samplers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from nanogen_core.protocols import Sampler, VelocityFn
from nanogen_core.randomness import KeyedRNG
from nanogen_core.tensors import Condition, Prediction, State, Times, per_sample
from nanogen_core.testing.comparison import global_rng_untouched, max_difference

DATA_STD = 0.5
ROWS = 512


class SamplerContract:
    """Contract of a sampler, tested with the exact velocity of Gaussian data N(0, 0.5^2) on the straight path.

    Fixtures:
        sampler: The sampler.

    Attributes:
        order: Order of convergence of a deterministic sampler: doubling the steps divides the error by 2^order. It
            is 0 for a stochastic sampler.
        steps: Number of steps with which the samples' standard deviation is within 10% of the data's.
    """

    order: int = 1
    steps: int = 32

    def run(self, sampler: Sampler, steps: int, *, rows: slice = slice(0, ROWS), seed: int = 0) -> State:
        """Sample latents [rows, 2, 2, 2] and class tokens [rows, 3]."""
        slots = range(ROWS)[rows]
        start = KeyedRNG(7, slots)
        noise = State(start.normal("noise", (2, 2, 2)), start.normal("token", (3,)))
        condition = Condition(torch.zeros(len(slots), 1, 1))
        return sampler.sample(self.objective(), _gaussian, noise, condition, steps, KeyedRNG(seed, slots))

    def objective(self) -> Any:
        """Return an objective with the straight path and Euler steps."""
        return _Straight()

    def test_has_the_members_of_the_protocol(self, sampler: Sampler) -> None:
        assert isinstance(sampler.steps, int)
        assert sampler.steps >= 1

    def test_samples_have_the_shape_and_dtype_of_the_noise(self, sampler: Sampler) -> None:
        state = self.run(sampler, 3)
        assert state.cls_token is not None
        assert (state.latent.shape, state.cls_token.shape) == ((ROWS, 2, 2, 2), (ROWS, 3))
        assert state.latent.dtype == torch.float32
        assert state.latent.isfinite().all()

    def test_one_step_is_possible(self, sampler: Sampler) -> None:
        assert self.run(sampler, 1).latent.isfinite().all()

    def test_a_sample_is_independent_of_the_batch(self, sampler: Sampler) -> None:
        with global_rng_untouched():
            whole, part = self.run(sampler, 5), self.run(sampler, 5, rows=slice(3, 5))
        assert max_difference(whole.latent[3:5], part.latent) <= 1e-5

    def test_random_numbers_come_from_the_rng(self, sampler: Sampler) -> None:
        first, other = self.run(sampler, 5), self.run(sampler, 5, seed=1)
        stochastic = max_difference(first.latent, other.latent) > 1e-3
        assert stochastic == (self.order == 0), (
            "The samples depend on `rng`: set `order = 0`, which stands for a stochastic sampler."
            if stochastic
            else "The samples do not depend on `rng`: set `order` to the order of convergence."
        )

    def test_samples_have_the_distribution_of_the_data(self, sampler: Sampler) -> None:
        state = self.run(sampler, self.steps)
        for part in state:
            assert part is not None
            assert abs(float(part.std()) / DATA_STD - 1) <= 0.1

    def test_error_falls_with_the_order(self, sampler: Sampler) -> None:
        if self.order:
            exact = DATA_STD * self.run(_Identity(), 1).latent  # the flow scales the noise by std(0) / std(1)
            few, many = (max_difference(self.run(sampler, n).latent, exact) for n in (self.steps, 2 * self.steps))
            assert few / many >= 0.8 * 2**self.order


class _Straight:
    """What samplers use of an objective, for x_t = (1 - t) clean + t noise."""

    def interpolate(self, clean: State, noise: State, t: Tensor) -> State:
        return clean.map(lambda x, n: torch.lerp(x, n, per_sample(t, x)), noise)

    def path_velocity(self, clean: State, noise: State, t: Tensor) -> State:
        return noise.map(torch.sub, clean)

    def step(self, velocity_fn: VelocityFn, state: State, times: Times, condition: Condition) -> State:
        velocity = velocity_fn(state, times, condition).value
        return state.map(lambda x, v: x - per_sample(times.t - times.r, x) * v, velocity)

    def grid(self, steps: int) -> Tensor:
        return torch.linspace(1, 0, steps + 1, dtype=torch.float64)


class _Identity:
    """Returns the noise."""

    steps = 1

    def sample(self, objective: object, velocity_fn: object, noise: State, *rest: object) -> State:
        return noise


def _gaussian(state: State, times: Times, condition: Condition) -> Prediction:
    """Velocity E[noise - data | x_t] of data N(0, 0.5^2) on the straight path: x (t - (1 - t) s^2) / var(x_t)."""

    def velocity(x: Tensor) -> Tensor:
        t = per_sample(times.t, x).double()
        variance = (1 - t) ** 2 * DATA_STD**2 + t**2
        return (x * (t - (1 - t) * DATA_STD**2) / variance).float()

    return Prediction(state.map(velocity))
