"""The Fréchet distance of two sets of features, each taken for a Gaussian (Dowson and Landau, 1982), in float64."""

from __future__ import annotations

import math
import warnings
from typing import NamedTuple

import torch
from torch import Tensor

from nanogen_core.errors import DataError

EPS = torch.finfo(torch.float64).eps
TOLERANCE = 1e-6  # of asymmetry and of negative eigenvalues, relative to the largest entry or eigenvalue
ROUNDING = 1e-8  # of the trace of the root: where eigenvalues could be further off, singular values are taken
PER_DIMENSION = 5  # examples for each feature, below which the distance is plainly biased upwards


class Moments(NamedTuple):
    """Mean and covariance of features, and the number of examples (None where the source does not say)."""

    mean: Tensor  # [D] float64
    covariance: Tensor  # [D, D] float64, sums divided by n - 1
    examples: int | None = None  # n


def moments(features: Tensor) -> Moments:
    """Of features [N, D]. Raises DataError for fewer than two examples and for what is not finite."""
    if features.ndim != 2 or len(features) < 2:
        raise DataError(f"Moments need at least two examples in rows [N, D], got the shape {list(features.shape)}.")
    features = features.double()
    mean = features.mean(dim=0)
    centred = features - mean
    return Moments(mean, centred.T @ centred / (len(features) - 1), len(features))


def frechet_distance(a: Moments, b: Moments) -> float:
    """`|m_a - m_b|^2 + tr A + tr B - 2 tr (A B)^1/2`, right for singular covariances too.

    With A = F F' and B = G G', the last trace is the sum of the singular values of F' G. Raises DataError where the
    moments are no moments: not finite, of unequal width, asymmetric, or with clearly negative eigenvalues.
    """
    _check(a, b)
    apart = (a.mean - b.mean).square().sum()
    spread = a.covariance.trace() + b.covariance.trace()
    distance = float(apart + spread - 2 * _sum_of_singular_values(_factor(a.covariance).T @ _factor(b.covariance)))
    if not math.isfinite(distance) or distance < -TOLERANCE * float(apart + spread):
        raise DataError(f"The square root of the covariances failed: it would make the distance {distance}.")
    return max(0.0, distance)


def small_sample(moments: Moments) -> str | None:
    """What to say of a distance from so few examples, or None. The sentence is also given as a Python warning."""
    count, width = moments.examples, len(moments.mean)
    if count is None or count >= PER_DIMENSION * width:
        return None
    singular = ", so that their covariance is singular" if count <= width else ""
    note = (
        f"{count} examples are few for {width} features{singular}: the Fréchet distance is biased upwards, and only"
        " comparable at this very number; more examples help, or the extrapolated distance."
    )
    warnings.warn(note, stacklevel=2)
    return note


def _factor(covariance: Tensor) -> Tensor:
    """F [D, r] with `covariance = F F'`; r is the rank where the matrix is singular."""
    lower: Tensor
    lower, failed = torch.linalg.cholesky_ex(covariance)
    if not failed:
        return lower
    values, vectors = torch.linalg.eigh(covariance)
    if values[0] < -TOLERANCE * values[-1].abs():
        raise DataError(
            f"A covariance has the eigenvalue {values[0]:.3g} beside a largest one of {values[-1]:.3g}: no covariance"
            " has negative ones, so the statistics are damaged, or were written with too few digits."
        )
    kept = values > len(values) * EPS * values[-1]
    factor: Tensor = vectors[:, kept] * values[kept].sqrt()
    return factor


def _sum_of_singular_values(matrix: Tensor) -> Tensor:
    """The roots of the eigenvalues of `M M'`, which is fast; the roots of small ones lose half of their digits, so
    that the singular values themselves are taken where that could show."""
    gram = matrix @ matrix.T if len(matrix) <= matrix.shape[1] else matrix.T @ matrix
    if not gram.numel():
        return matrix.new_zeros(())
    values = torch.linalg.eigvalsh(gram)
    noise = 4 * EPS * values[-1].abs()
    roots: Tensor = values.clamp(min=0).sqrt()
    doubt = (noise / (2 * values.clamp(min=float(noise)).sqrt())).sum()
    if noise > 0 and doubt > ROUNDING * roots.sum():
        roots = torch.linalg.svdvals(matrix)
    return roots.sum()


def _check(a: Moments, b: Moments) -> None:
    width = len(a.mean)
    for moments in (a, b):
        mean, covariance = moments.mean, moments.covariance
        if mean.shape != (width,) or covariance.shape != (width, width):
            raise DataError(
                f"Moments of {list(mean.shape)} and {list(covariance.shape)} cannot be compared with a mean of {width}"
                " features: both must come from the same extractor."
            )
        if not (mean.isfinite().all() and covariance.isfinite().all()):
            raise DataError("A mean or a covariance holds values that are not finite.")
        if (covariance - covariance.T).abs().max() > TOLERANCE * covariance.abs().max():
            raise DataError("A covariance is not symmetric, so it is none: the statistics are damaged.")
