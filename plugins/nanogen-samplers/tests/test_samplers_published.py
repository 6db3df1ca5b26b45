"""The samplers against public code: the schedulers of diffusers, and SiT's sampler in its own time."""

from __future__ import annotations

import math

import pytest
import torch

from nanogen_core.randomness import KeyedRNG
from nanogen_core.sampling import velocity_field
from nanogen_core.specs import LatentSpec
from nanogen_core.tensors import Condition, Prediction, State, Times, per_sample
from nanogen_flow.config import FlowConfig
from nanogen_flow.objective import Flow
from nanogen_samplers.config import MultistepConfig, SDEConfig
from nanogen_samplers.multistep import DPMSolver2M, UniPC
from nanogen_samplers.path import path_points
from nanogen_samplers.sde import SDE

ROWS = 3
LATENT = LatentSpec(2, 4, 4)
CONDITION = Condition(torch.zeros(ROWS, 1, 1))


class Straight(Flow):
    """Rectified flow with given sampling times."""

    def __init__(self, times=None):
        super().__init__(FlowConfig(), latent=LATENT)
        self.sampling_times = times

    def grid(self, steps):
        return super().grid(steps) if self.sampling_times is None else self.sampling_times.double()


def curved(x, t):
    """A velocity that is not linear in x and depends on t."""
    return torch.sin(2 * x + 3 * t) + 0.5 * x - t**2


def velocity_fn(state, times, condition):
    return Prediction(state.map(lambda x: curved(x, per_sample(times.t, x).to(x.dtype))))


def start(dtype=torch.float32):
    return KeyedRNG(0, range(ROWS)).normal("start", LATENT.shape).to(dtype)


# -- diffusers -------------------------------------------------------------------------------------------------------

SOLVERS = {
    "DPMSolverMultistepScheduler": (DPMSolver2M, {"algorithm_type": "dpmsolver++", "solver_order": 2}),
    "UniPCMultistepScheduler": (UniPC, {"solver_type": "bh2", "solver_order": 2}),
}


def scheduler_of(name, steps, shift):
    diffusers = pytest.importorskip("diffusers", reason="its schedulers are the reference")
    _, options = SOLVERS[name]
    flow = {"prediction_type": "flow_prediction", "use_flow_sigmas": True, "flow_shift": shift}
    scheduler = getattr(diffusers, name)(**options, **flow)
    scheduler.set_timesteps(steps)
    scheduler.set_begin_index(0)
    return scheduler


def scheduled(scheduler):
    x = start()
    for number, timestep in enumerate(scheduler.timesteps):
        x = scheduler.step(curved(x, scheduler.sigmas[number]), timestep, x).prev_sample
    return x


@pytest.mark.parametrize("name", SOLVERS)
@pytest.mark.parametrize(("steps", "shift"), [(1, 1.0), (2, 1.0), (5, 3.0), (12, 1.0), (20, 3.0)])
def test_a_solver_agrees_with_the_scheduler_of_diffusers(name, steps, shift):
    scheduler = scheduler_of(name, steps, shift)
    sampler = SOLVERS[name][0](MultistepConfig())
    objective = Straight(scheduler.sigmas)
    found = sampler.sample(objective, velocity_fn, State(start()), CONDITION, steps, KeyedRNG(0, range(ROWS))).latent
    expected = scheduled(scheduler)
    assert (expected - start()).abs().max() > 0.5
    assert torch.allclose(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("steps", [3, 10])
def test_from_pure_noise_too(steps):
    """At t = 1 the log-SNR is -inf. The scheduler of UniPC avoids this time; that of DPM-Solver++ computes with it."""
    objective = Straight()
    scheduler = scheduler_of("DPMSolverMultistepScheduler", steps, 1.0)
    scheduler.sigmas = objective.grid(steps).float()
    sampler = DPMSolver2M(MultistepConfig())
    found = sampler.sample(objective, velocity_fn, State(start()), CONDITION, steps, KeyedRNG(0, range(ROWS))).latent
    assert torch.allclose(found, scheduled(scheduler), rtol=0, atol=1e-5)


def test_unipc_from_pure_noise_is_the_limit_of_later_starts():
    """The first time of the scheduler is 1 - 1e-6. In the limit the log-SNR of the first step is infinite."""

    def sampled(first):
        times = torch.tensor([first, 0.8, 0.5, 0.25, 0.0])
        rng = KeyedRNG(0, range(ROWS))
        return UniPC(MultistepConfig()).sample(Straight(times), velocity_fn, State(start()), CONDITION, 4, rng).latent

    far, near, limit = (sampled(first) for first in (1 - 1e-3, 1 - 1e-6, 1.0))
    assert limit.isfinite().all()
    assert (near - limit).abs().max() < (far - limit).abs().max()


# -- SiT: its equations in its time u = 1 - t ------------------------------------------------------------------------


class Arc:
    """x_t = cos(t pi / 2) data + sin(t pi / 2) noise, SiT's GVP path."""

    def interpolate(self, clean, noise, t):
        angle = math.pi / 2 * t
        return clean.map(lambda x, n: per_sample(angle.cos(), x) * x + per_sample(angle.sin(), x) * n, noise)

    def path_velocity(self, clean, noise, t):
        angle = math.pi / 2 * t
        return clean.map(
            lambda x, n: math.pi / 2 * (per_sample(angle.cos(), x) * n - per_sample(angle.sin(), x) * x), noise
        )

    def grid(self, steps):
        return torch.linspace(1, 0, steps + 1, dtype=torch.float64)


def sit_plan(path, u):
    """Return alpha, d alpha / du, sigma, d sigma / du of SiT's linear and GVP paths."""
    if path == "linear":
        return u, 1.0, 1 - u, -1.0
    angle = math.pi / 2 * u
    return math.sin(angle), math.pi / 2 * math.cos(angle), math.cos(angle), -math.pi / 2 * math.sin(angle)


def sit_score(path, velocity, x, u):
    alpha, d_alpha, sigma, d_sigma = sit_plan(path, u)
    ratio = alpha / d_alpha
    return (ratio * velocity - x) / (sigma**2 - ratio * d_sigma * sigma)


def sit_diffusion(path, u, form, norm):
    alpha, d_alpha, sigma, d_sigma = sit_plan(path, max(u, 1e-3) if form == "sbdm" else u)
    return {
        "constant": lambda: norm,
        "sbdm": lambda: norm * (d_alpha / alpha * sigma**2 - sigma * d_sigma),
        "sigma": lambda: norm * sigma,
        "linear": lambda: norm * (1 - u),
        "decreasing": lambda: 0.25 * (norm * math.cos(math.pi * u) + 1) ** 2,
        "increasing-decreasing": lambda: norm * math.sin(math.pi * u) ** 2,
    }[form]()


def sit(path, form, norm, last, size, steps):
    """SiT's `sample_sde`: steps - 1 steps to u = 1 - size with noise, then one without."""
    x, rng = start(torch.float64), KeyedRNG(5, range(ROWS))
    times = torch.linspace(0, 1 - size, steps, dtype=torch.float64).tolist()
    step = times[1]
    for number, u in enumerate(times):
        velocity = -curved(x, 1 - u)
        score, diffusion = sit_score(path, velocity, x, u), sit_diffusion(path, u, form, norm)
        drift = velocity + diffusion * score
        if number == steps - 1:
            alpha, _, sigma, _ = sit_plan(path, u)
            ends = {"mean": x + drift * size, "euler": x + velocity * size}
            return ends[last] if last in ends else x / alpha + sigma**2 / alpha * score
        x = x + drift * step + math.sqrt(2 * diffusion * step) * rng.normal(f"sde.{number}", LATENT.shape).double()
    raise AssertionError


@pytest.mark.parametrize("form", ["constant", "sbdm", "sigma", "linear", "decreasing", "increasing-decreasing"])
@pytest.mark.parametrize("path", ["linear", "gvp"])
@pytest.mark.parametrize("last", ["mean", "tweedie", "euler"])
def test_the_sde_is_sit_s(path, form, last):
    """The times are multiples of 1 / 8, exact in float32: the first step of "sbdm" multiplies rounding errors."""
    objective = {"linear": Straight(torch.linspace(1, 0, 8)), "gvp": Arc()}[path]
    sampler = SDE(SDEConfig(diffusion=form, norm=0.8, last_step=last, last_step_size=0.125))
    noise = State(start(torch.float64))
    found = sampler.sample(objective, velocity_fn, noise, CONDITION, 8, KeyedRNG(5, range(ROWS))).latent
    assert torch.allclose(found, sit(path, form, 0.8, last, 0.125, 8), rtol=1e-5, atol=1e-5)


# -- the path helper -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("objective", [Straight(), Arc()], ids=["straight", "arc"])
def test_data_and_noise_are_solved_from_state_and_velocity(objective):
    rng = KeyedRNG(1, range(ROWS))
    clean, noise = (State(rng.normal(name, LATENT.shape), rng.normal(f"{name} token", (3,))) for name in ("x", "n"))
    for t in (1.0, 0.7, 0.01):
        times = torch.full((ROWS,), t)
        state, velocity = objective.interpolate(clean, noise, times), objective.path_velocity(clean, noise, times)
        (point,) = path_points(objective, times[:1])
        for found, true in ((point.data(state, velocity), clean), (point.noise(state, velocity), noise)):
            assert torch.allclose(found.latent, true.latent, atol=1e-5)
            assert torch.allclose(found.cls_token, true.cls_token, atol=1e-5)


def test_a_field_of_a_data_prediction_predicts_these_data():
    """`Flow` damps velocities below t_eps, where the data that they imply are between prediction and state."""
    flow = Flow(FlowConfig(prediction="x"), latent=LATENT)
    data = KeyedRNG(2, range(ROWS)).normal("data", LATENT.shape)
    field = velocity_field(flow, lambda state, times, condition: Prediction(State(data)))
    t = torch.full((ROWS,), 0.5)
    (point,) = path_points(flow, t[:1])
    state = State(start())
    assert torch.allclose(point.data(state, field(state, Times(t, t), CONDITION).value).latent, data, atol=1e-6)
