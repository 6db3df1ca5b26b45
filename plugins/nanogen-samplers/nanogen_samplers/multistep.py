"""DPM-Solver++(2M) and UniPC: multistep methods that integrate the predicted data over the log-SNR."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from nanogen_core.protocols import Objective, VelocityFn
from nanogen_core.randomness import KeyedRNG
from nanogen_core.sampling import intervals
from nanogen_core.tensors import Condition, State
from nanogen_samplers.config import MultistepConfig
from nanogen_samplers.path import PathPoint, path_points


class DPMSolver2M:
    """DPM-Solver++(2M) (Lu et al., arXiv 2211.01095, algorithm 2) on any linear path x_t = a data + s noise.

    With the predicted data D, the log-SNR l = log(a / s) and h = l_r - l_t, a step from t to r is

        x_r = (s_r / s_t) x_t - a_r (exp(-h) - 1) (D_t + h / (2 h') (D_t - D')),

    where D' and h' belong to the step before. The first step and the last one, which ends at t = 0, are of first order
    (without the term with D'). A step from pure noise (a = 0) has h = inf; the step after it is of first order too.
    """

    def __init__(self, config: MultistepConfig):
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
        """Integrate from `noise` at t = 1 to t = 0. Each step evaluates the network once. `rng` is unused."""
        grid = objective.grid(steps)
        path = path_points(objective, grid.float())
        state = predicted = noise
        past: tuple[State, ...] = ()  # predicted data, the newest first
        for number, times in enumerate(intervals(grid, noise.latent)):
            velocity = velocity_fn(predicted, times.instant(), condition).value
            data = path[number].data(predicted, velocity)
            state = self._corrected(path[: number + 1], state, predicted, past, data)
            past = (data, *past[:1])
            predicted = _step(path[: number + 2], state, past)
        return predicted

    def _corrected(
        self, path: Sequence[PathPoint], before: State, predicted: State, past: Sequence[State], data: State
    ) -> State:
        """Return the state at the newest point of `path`, given its predicted data. This method has no corrector."""
        return predicted


class UniPC(DPMSolver2M):
    """UniPC-2 with B2(h) = exp(h) - 1 for predicted data (Zhao et al., arXiv 2302.04867).

    The predictor is `DPMSolver2M`. D_r is the data that the network predicts at the predictor's state. The corrected
    state is

        x_r = (s_r / s_t) x_t - a_r (exp(-h) - 1) (D_t + p (D' - D_t) / k + q (D_r - D_t)),    k = -h' / h,

    with p + q = b_1 and k p + q = b_2, where b_1 = g_1 / B, b_2 = 2 g_2 / B, B = exp(-h) - 1, g_1 = -B / h - 1 and
    g_2 = -g_1 / h - 1 / 2. After the first step p = 0 and q = 1 / 2. The state at t = 0 is not corrected. D_r is not
    computed anew for the corrected state, so that a step has one evaluation.
    """

    def _corrected(
        self, path: Sequence[PathPoint], before: State, predicted: State, past: Sequence[State], data: State
    ) -> State:
        if not past:
            return predicted  # the first evaluation, at the noise
        if len(past) == 1:
            used = past[0].map(lambda d, new: d + (new - d) / 2, data)
        else:
            h, h_before = _step_size(path[-2:]), _step_size(path[-3:-1])
            p_over_k, q = _corrector(h, -h_before / h)
            used = past[0].map(lambda d, old, new: d + p_over_k * (old - d) + q * (new - d), past[1], data)
        return _exponential(path[-2:], before, used)


def _step(path: Sequence[PathPoint], state: State, past: Sequence[State]) -> State:
    """Return the state at the last point of `path`, of second order if there are two predictions and s > 0 there."""
    used = past[0]
    if len(past) > 1 and path[-1].s > 0:
        ratio = _step_size(path[-2:]) / (2 * _step_size(path[-3:-1]))
        used = past[0].map(lambda d, old: d + ratio * (d - old), past[1])
    return _exponential(path[-2:], state, used)


def _exponential(path: Sequence[PathPoint], state: State, data: State) -> State:
    """Integrate exactly for constant data: (s_r / s_t) x - a_r (exp(-h) - 1) data.

    exp(-h) = a_t s_r / (s_t a_r), which is finite at both ends of the path.
    """
    start, end = path
    shrink = end.s / start.s
    gain = end.a - start.a * shrink
    return state.map(lambda x, d: shrink * x + gain * d, data)


def _step_size(path: Sequence[PathPoint]) -> float:
    """Return h, the difference of the log-SNR; infinite if the step starts at pure noise or ends at data."""
    start, end = path
    return end.log_snr - start.log_snr


def _corrector(h: float, k: float) -> tuple[float, float]:
    """Return p / k and q of `UniPC`. Both are finite for k = -inf, a step after one from pure noise: 0 and b_1."""
    big = math.expm1(-h)
    g_1 = -big / h - 1
    g_2 = -g_1 / h - 0.5
    b_1, b_2 = g_1 / big, 2 * g_2 / big
    return (b_2 - b_1) / ((k - 1) * k), b_1 - (b_2 - b_1) / (k - 1)
