"""Averages along power functions, and any width of them as a weighted sum of others that were kept. Loads no torch.

EDM2 (arXiv 2312.02696), section 3 and appendix C: after t steps the average of exponent gamma weighs what the weights
were at the time tau by its profile p(tau) = (gamma + 1) tau^gamma / t^(gamma + 1) on [0, t]. Its width sigma_rel is the
standard deviation of p, over t. Weights that stand still from step to step make every sum below exact: what the update
by `decay` gives the step i is the integral of p over [i - 1, i].
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nanogen_train.stages.diffusion_settings import WIDEST

Numbers = NDArray[np.float64]
SENSIBLE = 0.1  # the greatest error of a fit that still deserves the name of its width
GRID = 0.001  # of widths that are tried out


class Profile(NamedTuple):
    """The profile of the average of this exponent after so many steps."""

    step: int
    gamma: float


class Fit(NamedTuple):
    """A profile as a sum of others: `coefficients` [n] of sum 1; `error` is the L2 norm of the difference over that of
    the profile."""

    coefficients: Numbers
    error: float


def gamma_of(width: float) -> float:
    """The exponent >= 0 of a sigma_rel in (0, WIDEST]: the greatest root of the cubic that
    sigma_rel^2 = (gamma + 1) / ((gamma + 2)^2 (gamma + 3)) amounts to."""
    t = width**-2
    return max(0.0, float(np.roots([1, 7, 16 - t, 12 - t]).real.max()))


def decay(gamma: float, step: int) -> float:
    """What the average keeps of itself in the update after step 1, 2, ...: beta = (1 - 1/t)^(gamma + 1), 0 at first."""
    return float((1 - 1 / step) ** (gamma + 1))


def products(a: Sequence[Profile], b: Sequence[Profile]) -> Numbers:
    """The inner products of two lists of profiles, [len(a), len(b)]: the integral of p q over the shorter of them."""
    (s, alpha), (t, beta) = (np.array(profiles, dtype=np.float64).T for profiles in (a, b))
    s, alpha = s[:, None], alpha[:, None]
    ratio = (s / t) ** np.where(s < t, beta, -alpha)
    numbers: Numbers = (alpha + 1) * (beta + 1) * ratio / ((alpha + beta + 1) * np.maximum(s, t))
    return numbers


class Basis:
    """Profiles of averages that are there, to make others of by least squares."""

    def __init__(self, profiles: Sequence[Profile]):
        self.profiles = list(profiles)
        self._gram = products(self.profiles, self.profiles)
        self._norms = np.sqrt(np.diag(self._gram))

    def fit(self, target: Profile) -> Fit:
        """The nearest sum whose coefficients have the sum 1, so that weights that stand still come out as they are."""
        overlaps = products(self.profiles, [target])[:, 0]
        free, pull = self._solve(overlaps), self._solve(np.ones(len(self.profiles)))
        found = free + pull * (1 - free.sum()) / pull.sum()
        norm = float(products([target], [target])[0, 0])
        left = found @ self._gram @ found - 2 * found @ overlaps + norm
        return Fit(found, float(np.sqrt(max(left, 0.0) / norm)))

    def reachable(self, step: int) -> tuple[float, float] | None:
        """The narrowest and the widest average after `step` steps whose fit is sensible, to three digits."""
        widths = [GRID * count for count in range(1, int(WIDEST / GRID) + 1)]
        good = [width for width in widths if self.fit(Profile(step, gamma_of(width))).error <= SENSIBLE]
        return (good[0], good[-1]) if good else None

    def _solve(self, right: Numbers) -> Numbers:
        """Gram^-1 right, for profiles of unit norm, without the directions that rounding has left no digit of."""
        values, vectors = self._spectrum
        kept = values > values[-1] * len(values) * np.finfo(np.float64).eps
        part = vectors[:, kept].T @ (right / self._norms) / values[kept]
        solution: Numbers = vectors[:, kept] @ part / self._norms
        return solution

    @cached_property
    def _spectrum(self) -> tuple[Numbers, Numbers]:
        values, vectors = np.linalg.eigh(self._gram / np.outer(self._norms, self._norms))
        return values, vectors
