"""Euler-Maruyama on the reverse SDE of a linear path, with the diffusion coefficients of SiT."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from nanogen_core.protocols import Objective, VelocityFn
from nanogen_core.randomness import KeyedRNG
from nanogen_core.sampling import intervals
from nanogen_core.tensors import Condition, State
from nanogen_samplers.config import SDEConfig
from nanogen_samplers.path import PathPoint, path_points

LATEST = 1 - 1e-3  # "sbdm" is infinite where the path has no data: its coefficient is that of this time

#: Diffusion coefficients w(t) of a point of the path, its time and `norm`.
FORMS: Mapping[str, Callable[[PathPoint, float, float], float]] = {
    "constant": lambda point, t, norm: norm,
    "sbdm": lambda point, t, norm: norm * point.s * point.determinant / point.a,
    "sigma": lambda point, t, norm: norm * point.s,
    "linear": lambda point, t, norm: norm * t,
    "decreasing": lambda point, t, norm: 0.25 * (1 - norm * math.cos(math.pi * t)) ** 2,
    "increasing-decreasing": lambda point, t, norm: norm * math.sin(math.pi * t) ** 2,
}


class SDE:
    """Euler-Maruyama sampler of SiT (Ma et al., arXiv 2401.08740) on any linear path x_t = a data + s noise.

    At each time, the SDE has the same distribution as the ODE dx/dt = v. A step from t to r = t - h is

        x_r = x_t - h (v - w(t) score) + sqrt(2 w(t) h) z,    score = -noise / s,

    with the predicted noise and standard normal z, keyed by sample and step. w(t) is, by `diffusion`,

    - "sigma": norm s
    - "sbdm": norm s (a s' - a' s) / a, the diffusion of the forward process; for t > 0.999 its value at 0.999
    - "linear": norm t
    - "constant": norm
    - "decreasing": (1 - norm cos(pi t))^2 / 4
    - "increasing-decreasing": norm sin(pi t)^2

    as in the published code, whose w is half of the paper's. The last step adds no noise, unless `last_step` is "none".
    """

    def __init__(self, config: SDEConfig):
        self.config = config
        self.steps = config.steps

    @torch.no_grad()
    def sample(
        self,
        objective: Objective,
        velocity_fn: VelocityFn,
        noise: State,
        condition: Condition,
        steps: int,
        rng: KeyedRNG,
    ) -> State:
        """Integrate from `noise` at t = 1 to t = 0. Each step evaluates the network once."""
        grid = self._grid(objective, steps)
        path, diffusion = path_points(objective, grid.float()), self._diffusion(objective, grid)
        state = noise
        for number, times in enumerate(intervals(grid, noise.latent)):
            velocity = velocity_fn(state, times.instant(), condition).value
            t, r = times.numbers()
            if r == 0.0 and self.config.last_step != "none":
                return self._last(path[number], diffusion[number], t, state, velocity)
            mean = _mean(path[number], diffusion[number], t - r, state, velocity)
            scale = math.sqrt(2 * diffusion[number] * (t - r))
            state = mean.map(lambda x, z, scale=scale: x + scale * z, _normal(rng, number, state))
        return state

    def _grid(self, objective: Objective, steps: int) -> Tensor:
        """Return times [steps + 1] whose last interval is `last_step_size`."""
        if steps == 1 or self.config.last_step == "none":
            return objective.grid(steps)
        size = self.config.last_step_size
        return torch.cat([size + (1 - size) * objective.grid(steps - 1), torch.zeros(1, dtype=torch.float64)])

    def _diffusion(self, objective: Objective, grid: Tensor) -> list[float]:
        """Return w at the starts of the steps."""
        times = grid[:-1].clamp(max=LATEST) if self.config.diffusion == "sbdm" else grid[:-1]
        form, norm = FORMS[self.config.diffusion], self.config.norm
        return [form(point, t, norm) for point, t in zip(path_points(objective, times), times.tolist(), strict=True)]

    def _last(self, point: PathPoint, diffusion: float, t: float, state: State, velocity: State) -> State:
        """Return the state at 0, reached from t. Tweedie's formula (x + s^2 score) / a is the predicted data."""
        if self.config.last_step == "tweedie":
            return point.data(state, velocity)
        return _mean(point, diffusion if self.config.last_step == "mean" else 0.0, t, state, velocity)


def _mean(point: PathPoint, diffusion: float, h: float, state: State, velocity: State) -> State:
    """Return x - h (v + w noise / s), a step without random numbers."""
    weight = diffusion / point.s
    return state.map(lambda x, v, n: x - h * (v + weight * n), velocity, point.noise(state, velocity))


def _normal(rng: KeyedRNG, number: int, like: State) -> State:
    """Draw standard normal numbers of step `number` for the latents and the class tokens."""
    latent = rng.normal(f"sde.{number}", like.latent.shape[1:]).to(like.latent)
    if like.cls_token is None:
        return State(latent)
    return State(latent, rng.normal(f"sde-token.{number}", like.cls_token.shape[1:]).to(like.cls_token))
