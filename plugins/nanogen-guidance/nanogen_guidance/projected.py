"""Adaptive projected guidance (APG)."""

from __future__ import annotations

import torch
from attrs import evolve
from torch import Tensor

from nanogen_core.guidance import branches
from nanogen_core.protocols import Objective, VelocityFn
from nanogen_core.tensors import Condition, Prediction, State, Times
from nanogen_guidance.config import ProjectedConfig
from nanogen_samplers.path import path_points


class AdaptiveProjected:
    """Adaptive projected guidance (Sadat et al., arXiv 2410.02416) of the predicted data.

    With the conditional and unconditional predictions D_c and D_u, and the momentum m of the sampling run,

        m <- D_c - D_u + beta m
        u = m min(1, r / |m|)
        D = D_c + (w - 1) (u_orthogonal + eta u_parallel),

    where u_parallel is the projection of u on D_c. Norms and projections are computed per sample, and separately for a
    class token (REG). On the path x_t = a data + s noise, the guided velocity is that of the data D and of the noise n
    with x_t = a D + s n:

        v = v_c - d / s (D - D_c),    d = a s' - a' s.

    For eta = 1, beta = 0 and no limit r this is classifier-free guidance with scale w.

    The momentum starts at 0 in every run and changes at every guided evaluation: once a step for samplers with one
    evaluation, twice for Heun's method. Guidance applies to each evaluation at a time t with t_min <= t <= t_max.
    """

    level = 1

    def __init__(self, config: ProjectedConfig, *, objective: Objective):
        self.config = config
        self.objective = objective

    def with_scale(self, scale: float) -> AdaptiveProjected:
        """Return this guidance with another scale w."""
        return AdaptiveProjected(evolve(self.config, scale=float(scale)), objective=self.objective)

    def wrap(self, velocity_fn: VelocityFn, null: Condition) -> VelocityFn:
        """Return the guided velocity function of one sampling run. A guided call evaluates 2B rows at once."""
        momentum: State | None = None

        def guided(state: State, times: Times, condition: Condition) -> Prediction:
            nonlocal momentum
            if self.config.scale == 1.0 or not times.start_in(self.config.t_min, self.config.t_max):
                return velocity_fn(state, times, condition)
            conditional, unconditional = branches(velocity_fn, state, times, condition, null)
            (point,) = path_points(self.objective, torch.tensor([times.numbers()[0]]))
            data, other = point.data(state, conditional), point.data(state, unconditional)
            difference = data.map(torch.sub, other)
            momentum = difference if momentum is None else difference.map(self._accumulated, momentum)
            weight = (self.config.scale - 1) * point.determinant / point.s
            return Prediction(conditional.map(lambda v, u: v - weight * u, momentum.map(self._update, data)))

        return guided

    def _accumulated(self, difference: Tensor, momentum: Tensor) -> Tensor:
        return difference + self.config.momentum * momentum

    def _update(self, momentum: Tensor, data: Tensor) -> Tensor:
        """Return u_orthogonal + eta u_parallel for the momentum and the conditional prediction [B, ...]."""
        if self.config.norm:
            momentum = momentum * (self.config.norm / _norm(momentum)).clamp(max=1)
        direction = data / _norm(data)
        parallel = _sum(momentum * direction) * direction
        return momentum - parallel + self.config.parallel * parallel


def _norm(x: Tensor) -> Tensor:
    """Return the norm of each sample, at least 1e-12: [B, 1, ...]."""
    return _sum(x.square()).sqrt().clamp(min=1e-12)


def _sum(x: Tensor) -> Tensor:
    return x.sum(dim=tuple(range(1, x.ndim)), keepdim=True)
