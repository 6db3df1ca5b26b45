"""Samplers on a mixture of two normal distributions in one dimension, whose flow is known in closed form."""

from __future__ import annotations

import math
from copy import copy

import pytest
import torch

from nanogen_core.randomness import KeyedRNG
from nanogen_core.sampling import Euler, Heun
from nanogen_core.settings import SamplerConfig
from nanogen_core.tensors import Condition, Prediction, State, per_sample
from nanogen_samplers.config import MultistepConfig, SDEConfig
from nanogen_samplers.multistep import DPMSolver2M, UniPC
from nanogen_samplers.sde import SDE

WEIGHTS, MEANS, STDS = (torch.tensor(values, dtype=torch.float64) for values in ((0.3, 0.7), (-1.0, 1.0), (0.25, 0.4)))
SIGMA_MAX = 20.0


class Path:
    """A linear path with a uniform grid. Subclasses give a, s and their derivatives at t."""

    def interpolate(self, clean, noise, t):
        a, s, _, _ = self.at(t)
        return clean.map(lambda x, n: per_sample(a, x) * x + per_sample(s, x) * n, noise)

    def path_velocity(self, clean, noise, t):
        _, _, a_rate, s_rate = self.at(t)
        return clean.map(lambda x, n: per_sample(a_rate, x) * x + per_sample(s_rate, x) * n, noise)

    def step(self, velocity_fn, state, times, condition):
        velocity = velocity_fn(state, times, condition).value
        return state.map(lambda x, v: x - per_sample(times.t - times.r, x) * v, velocity)

    def grid(self, steps):
        return torch.linspace(1, 0, steps + 1, dtype=torch.float64)

    def equal_log_snr(self):
        """Return this path with a grid that starts at log(a / s) = -3, and has equal steps to 9 and a last one."""
        path = copy(self)
        path.grid = lambda steps: torch.cat([self.time_of(torch.linspace(-3, 9, steps).double()), torch.zeros(1)])
        return path


class Straight(Path):
    def at(self, t):
        return 1 - t, t, -torch.ones_like(t), torch.ones_like(t)

    def time_of(self, log_snr):
        return 1 / (1 + log_snr.exp())


class Arc(Path):
    def at(self, t):
        angle = math.pi / 2 * t
        return angle.cos(), angle.sin(), -math.pi / 2 * angle.sin(), math.pi / 2 * angle.cos()

    def time_of(self, log_snr):
        return torch.atan((-log_snr).exp()) * 2 / math.pi


class Exploding(Path):
    """EDM: x_t = data + sigma noise. The grid has equal steps of sigma^(1/3)."""

    def time_of(self, log_snr):
        return (-log_snr).exp() / SIGMA_MAX

    def at(self, t):
        return torch.ones_like(t), SIGMA_MAX * t, torch.zeros_like(t), SIGMA_MAX * torch.ones_like(t)

    def grid(self, steps):
        return super().grid(steps) ** 3


PATHS = (Straight(), Arc(), Exploding())


def at(path, t):
    """Return a, s, a', s' at one time as numbers."""
    return [float(value) for value in path.at(torch.tensor(t, dtype=torch.float64))]


def velocity_of(path):
    """Return the velocity E[a' data + s' noise | x_t] of the mixture, from the posterior of its two parts."""

    def velocity_fn(state, times, condition):
        a, s, a_rate, s_rate = at(path, float(times.t[0]))
        x = state.latent.double()[..., None]  # [B, C, h, w, 1]
        variance = a**2 * STDS**2 + s**2
        part = (WEIGHTS.log() - 0.5 * ((x - a * MEANS) ** 2 / variance + variance.log())).softmax(-1)
        data = (part * (MEANS + a * STDS**2 * (x - a * MEANS) / variance)).sum(-1)
        noise = (state.latent.double() - a * data) / s
        return Prediction(State((a_rate * data + s_rate * noise).to(state.latent)))

    return velocity_fn


def cumulative(x, a, s):
    """Return P(x_t <= x) of the mixture on a path."""
    scaled = (x[..., None] - a * MEANS) / (a**2 * STDS**2 + s**2).sqrt()
    return (WEIGHTS * torch.special.ndtr(scaled)).sum(-1)


def transported(path, x, start=1.0, end=0.0):
    """Return where the flow takes x from time `start` to `end`. In one dimension it keeps quantiles: bisection."""
    a, s, _, _ = at(path, start)
    wanted, (a, s, _, _) = cumulative(x, a, s), at(path, end)
    low, high = torch.full_like(x, -99.0), torch.full_like(x, 99.0)
    for _ in range(60):
        middle = (low + high) / 2
        below = cumulative(middle, a, s) < wanted
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return (low + high) / 2


def run(sampler, path, start, steps, rng=None):
    """Sample from float64 latents [B, 1, h, w] at the first time of the grid."""
    condition = Condition(torch.zeros(len(start), 1, 1))
    return sampler.sample(path, velocity_of(path), State(start), condition, steps, rng).latent


NORMAL = torch.linspace(-2.2, 2.2, 45, dtype=torch.float64).reshape(-1, 1, 1, 1)


def error(sampler, path, steps):
    """Return the root mean square error of samples along 45 exact trajectories."""
    ends = NORMAL * at(path, 1.0)[1]
    start = transported(path, ends, end=float(path.grid(steps)[0].float()))
    return float((run(sampler, path, start, steps) - transported(path, ends)).square().mean().sqrt())


def order(sampler, path, steps):
    """Return the measured order of convergence, log2(error(steps) / error(2 steps))."""
    return math.log2(error(sampler, path, steps) / error(sampler, path, 2 * steps))


DPM, UNIPC = DPMSolver2M(MultistepConfig()), UniPC(MultistepConfig())
EULER, HEUN = Euler(SamplerConfig()), Heun(SamplerConfig())
named_path = pytest.mark.parametrize("path", PATHS, ids=lambda path: type(path).__name__)


# -- orders of convergence -------------------------------------------------------------------------------------------


@named_path
def test_the_measured_orders_of_the_core_samplers_are_one_and_two(path):
    assert 0.7 < order(EULER, path, 64) < 1.3
    assert 1.9 < order(HEUN, path, 128) < 2.2


@named_path
def test_dpm_solver_is_of_second_order_in_steps_of_the_log_snr(path):
    assert 1.9 < order(DPM, path.equal_log_snr(), 128) < 2.3


@named_path
def test_the_corrector_of_unipc_raises_the_order_to_three(path):
    assert 2.6 < order(UNIPC, path.equal_log_snr(), 128) < 3.3


@named_path
def test_on_the_grid_of_the_objective_they_are_more_accurate_than_euler_with_as_many_evaluations(path):
    euler = error(EULER, path, 48)
    assert error(DPM, path, 48) < euler / 3
    assert error(UNIPC, path, 48) < euler / 5


def test_on_a_uniform_grid_unipc_is_of_second_order():
    """The steps of the log-SNR before t = 0 do not become smaller; DPM-Solver++ then has the error n^-2 log n."""
    assert 1.9 < order(UNIPC, Straight(), 128) < 2.2
    assert 1.6 < order(DPM, Straight(), 512) < 2.0


# -- the distribution of the samples of the SDE ----------------------------------------------------------------------

ROWS, SIDE = 256, 6  # every latent has 36 independent samples
COUNT = ROWS * SIDE**2


def sampled(path, steps, **options):
    rng = KeyedRNG(3, range(ROWS))
    start = at(path, 1.0)[1] * rng.normal("start", (1, SIDE, SIDE)).double()
    return run(SDE(SDEConfig(**options)), path, start, steps, rng).flatten()


def check(samples):
    """Compare mean, variance, weights and distribution with those of the mixture, within 4.5 standard errors."""
    mean = (WEIGHTS * MEANS).sum()
    variance = (WEIGHTS * (STDS**2 + (MEANS - mean) ** 2)).sum()
    fourth = (WEIGHTS * ((MEANS - mean) ** 4 + 6 * (MEANS - mean) ** 2 * STDS**2 + 3 * STDS**4)).sum()
    assert abs(samples.mean() - mean) < 4.5 * (variance / COUNT).sqrt()
    assert abs(samples.var() - variance) < 4.5 * ((fourth - variance**2) / COUNT).sqrt()
    for point in (-1.3, -1.0, -0.7, -0.25, 0.6, 1.0, 1.4):  # -0.25 is between the parts: the weight of the first
        share = cumulative(torch.tensor(point).double(), 1.0, 0.0)
        assert abs((samples <= point).double().mean() - share) < 4.5 * (share * (1 - share) / COUNT).sqrt()


FORMS = ("sigma", "sbdm", "linear", "constant", "decreasing", "increasing-decreasing")
CASES = [(PATHS[0], form) for form in FORMS] + [(path, form) for path in PATHS[1:] for form in FORMS[:2]]


@pytest.mark.parametrize(("path", "form"), CASES, ids=lambda value: value if isinstance(value, str) else "")
def test_every_diffusion_samples_the_mixture(path, form):
    size = 0.02 / at(path, 1.0)[1]  # the noise that the last step removes has the standard deviation 0.02
    check(sampled(path, 250, diffusion=form, last_step="tweedie", last_step_size=size))


@pytest.mark.parametrize("last", ["mean", "euler", "none"])
def test_every_last_step_samples_the_mixture(last):
    check(sampled(PATHS[0], 250, last_step=last, last_step_size=0.02))


def test_the_check_detects_too_few_steps_and_a_wrong_amount_of_noise():
    """What the tests above can see: 4 steps of the SDE, and samples that are 3% too far from their mean."""
    for wrong in (sampled(PATHS[0], 4), 1.03 * sampled(PATHS[0], 250, last_step_size=0.02)):
        with pytest.raises(AssertionError):
            check(wrong)


def test_with_more_noise_the_samples_forget_the_start():
    """The correlation of start and sample is that of the flow without noise, and falls with `norm`."""
    start = KeyedRNG(3, range(ROWS)).normal("start", (1, SIDE, SIDE)).double().flatten()
    kept = [torch.corrcoef(torch.stack([start, sampled(PATHS[0], 60, norm=norm)]))[0, 1] for norm in (0.0, 1.0, 4.0)]
    flow = torch.corrcoef(torch.stack([start, transported(PATHS[0], start)]))[0, 1]
    assert abs(kept[0] - flow) < 0.01
    assert kept[0] > kept[1] + 0.1 > kept[2] + 0.2
