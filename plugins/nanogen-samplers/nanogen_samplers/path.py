"""Coefficients of a linear path, and the data and noise that a state and its velocity imply."""

from __future__ import annotations

import math
from itertools import chain
from typing import NamedTuple

import torch
from torch import Tensor

from nanogen_core.eval_mode import modules_of
from nanogen_core.protocols import Objective
from nanogen_core.tensors import State

COMPARED = torch.tensor([0.1, 0.5, 0.9, 1.0])  # times at which two paths are compared
NO_DATA = 1e-6  # a / s below which a state is pure noise, for objectives that round a(1) = 0


class PathPoint(NamedTuple):
    """The path x_t = a data + s noise at one time, and its derivatives by t.

    The velocity is v = a' data + s' noise, so data = (s' x - s v) / d and noise = (a v - a' x) / d with the determinant
    d = a s' - a' s.
    """

    a: float  # a(t)
    s: float  # s(t)
    a_rate: float  # a'(t)
    s_rate: float  # s'(t)

    @property
    def determinant(self) -> float:
        """d = a s' - a' s: positive on a path from data to noise; 1 on the straight path."""
        return self.a * self.s_rate - self.a_rate * self.s

    @property
    def log_snr(self) -> float:
        """log(a / s), half of the logarithm of the signal-to-noise ratio: inf without noise, -inf without data."""
        if self.s <= 0:
            return math.inf
        return math.log(self.a / self.s) if self.a > NO_DATA * self.s else -math.inf

    def data(self, state: State, velocity: State) -> State:
        """Return the data that the state x and its velocity v imply."""
        of_state, of_velocity = self.s_rate / self.determinant, self.s / self.determinant
        return state.map(lambda x, v: of_state * x - of_velocity * v, velocity)

    def noise(self, state: State, velocity: State) -> State:
        """Return the noise that the state x and its velocity v imply."""
        of_state, of_velocity = self.a_rate / self.determinant, self.a / self.determinant
        return state.map(lambda x, v: of_velocity * v - of_state * x, velocity)


def path_points(objective: Objective, times: Tensor) -> list[PathPoint]:
    """Return the path of an objective at times [K], computed in float64.

    The network receives times in float32. Pass `grid.float()` to get the path at the same, rounded times.
    """
    t = times.to(_device(objective)).double()
    zero, one = (State(torch.full((len(t), 1, 1, 1), value, dtype=t.dtype, device=t.device)) for value in (0.0, 1.0))
    ends = ((one, zero), (zero, one))
    columns = [f(*end, t).latent.flatten() for f in (objective.interpolate, objective.path_velocity) for end in ends]
    return [PathPoint(*row) for row in torch.stack(columns, dim=1).double().tolist()]


def same_path(first: Objective, second: Objective) -> bool:
    """Return whether the paths of two objectives agree at the times `COMPARED`, to an error of 1e-5 (1 + |value|)."""
    pairs = zip(*(path_points(each, COMPARED) for each in (first, second)), strict=True)
    return all(abs(one - other) <= 1e-5 * (1 + abs(other)) for pair in pairs for one, other in zip(*pair, strict=True))


def is_straight(objective: Objective) -> bool:
    """Return whether the path is x_t = (1 - t) data + t noise, to an error of 1e-5."""
    points = zip(path_points(objective, COMPARED), COMPARED.tolist(), strict=True)
    return all(abs(point.a - (1 - t)) <= 1e-5 and abs(point.s - t) <= 1e-5 for point, t in points)


def _device(objective: Objective) -> torch.device:
    """Return the device of an objective with tensors, such as a learned path; the CPU for others."""
    tensors = (chain(module.parameters(), module.buffers()) for module in modules_of(objective))
    return next((tensor.device for tensor in chain.from_iterable(tensors)), torch.device("cpu"))
