"""Power-function EMA (EDM2, arXiv 2312.02696, section 3 and appendix C). Does not import torch.

After t steps, the EMA of exponent gamma weights the parameters at time tau by its profile
p(tau) = (gamma + 1) tau^gamma / t^(gamma + 1) on [0, t]. Its width sigma_rel is the standard deviation of p divided by
t. Parameters are constant between steps, so sums are exact: with updates by `decay`, step i has the integral of p over
[i - 1, i] as its weight.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nanogen_train.stages.diffusion_settings import WIDEST

Numbers = NDArray[np.float64]
MAX_ERROR = 0.1  # maximum relative error of a fit
WIDTH_STEP = 0.001  # step of the search over widths


class Profile(NamedTuple):
    """Profile of the EMA with exponent `gamma` after `step` steps."""

    step: int
    gamma: float


class Fit(NamedTuple):
    """A profile as a linear combination of others: `coefficients` [n] with sum 1, and the relative L2 `error`."""

    coefficients: Numbers
    error: float


def gamma_of(width: float) -> float:
    """Return the exponent gamma >= 0 of a width sigma_rel in (0, WIDEST].

    It is the largest root of sigma_rel^2 = (gamma + 1) / ((gamma + 2)^2 (gamma + 3)).
    """
    t = width**-2
    return max(0.0, float(np.roots([1, 7, 16 - t, 12 - t]).real.max()))


def decay(gamma: float, step: int) -> float:
    """Return the EMA decay at step t = 1, 2, ...: beta = (1 - 1/t)^(gamma + 1), which is 0 at step 1."""
    return float((1 - 1 / step) ** (gamma + 1))


def products(a: Sequence[Profile], b: Sequence[Profile]) -> Numbers:
    """Return the inner products [len(a), len(b)] of two lists of profiles: integrals of p_a p_b."""
    (s, alpha), (t, beta) = (np.array(profiles, dtype=np.float64).T for profiles in (a, b))
    s, alpha = s[:, None], alpha[:, None]
    ratio = (s / t) ** np.where(s < t, beta, -alpha)
    numbers: Numbers = (alpha + 1) * (beta + 1) * ratio / ((alpha + beta + 1) * np.maximum(s, t))
    return numbers


class Basis:
    """Profiles of saved snapshots, from which other profiles are fitted by least squares."""

    def __init__(self, profiles: Sequence[Profile]):
        self.profiles = list(profiles)
        self._gram = products(self.profiles, self.profiles)
        self._norms = np.sqrt(np.diag(self._gram))

    def fit(self, target: Profile) -> Fit:
        """Return the linear combination of the profiles that is nearest to `target`.

        Its coefficients sum to 1, so that constant weights do not change.
        """
        overlaps = products(self.profiles, [target])[:, 0]
        free, uniform = self._solve(overlaps), self._solve(np.ones(len(self.profiles)))
        coefficients = free + uniform * (1 - free.sum()) / uniform.sum()
        norm = float(products([target], [target])[0, 0])
        squared_error = coefficients @ self._gram @ coefficients - 2 * coefficients @ overlaps + norm
        return Fit(coefficients, float(np.sqrt(max(squared_error, 0.0) / norm)))

    def reachable(self, step: int) -> tuple[float, float] | None:
        """Return the smallest and the largest width that the profiles can fit after `step` steps.

        The error of these fits is at most MAX_ERROR. Returns None if there is no such width.
        """
        widths = [WIDTH_STEP * count for count in range(1, int(WIDEST / WIDTH_STEP) + 1)]
        feasible = [width for width in widths if self.fit(Profile(step, gamma_of(width))).error <= MAX_ERROR]
        return (feasible[0], feasible[-1]) if feasible else None

    def _solve(self, rhs: Numbers) -> Numbers:
        """Return Gram^-1 rhs for normalised profiles. Drops eigenvalues below the rounding error."""
        values, vectors = self._spectrum
        significant = values > values[-1] * len(values) * np.finfo(np.float64).eps
        part = vectors[:, significant].T @ (rhs / self._norms) / values[significant]
        solution: Numbers = vectors[:, significant] @ part / self._norms
        return solution

    @cached_property
    def _spectrum(self) -> tuple[Numbers, Numbers]:
        values, vectors = np.linalg.eigh(self._gram / np.outer(self._norms, self._norms))
        return values, vectors
