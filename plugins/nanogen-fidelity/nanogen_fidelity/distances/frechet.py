"""The Fréchet distance between Gaussians fitted to two sets of features (Dowson and Landau, 1982), in float64."""

from __future__ import annotations

import math
import warnings
from typing import NamedTuple

import torch
from torch import Tensor

from nanogen_core.errors import DataError
from nanogen_eval.protocols import NotedWarning

EPS = torch.finfo(torch.float64).eps
TOLERANCE = 1e-6  # accepted asymmetry and negative eigenvalues, relative to the largest entry or eigenvalue
ROUNDING = 1e-8  # accepted relative error of tr (A B)^1/2 from eigenvalues; above it, singular values are computed
RECOMPUTE = "Compute the statistics again with `python -m nanogen_fidelity.statistics IMAGES FILE`."
PER_DIMENSION = 5  # examples per feature, below which the distance is clearly biased upwards


class Moments(NamedTuple):
    """Mean and covariance of features, and the number of examples (None if the source does not record it)."""

    mean: Tensor  # [D] float64
    covariance: Tensor  # [D, D] float64, the unbiased estimate (divided by N - 1)
    examples: int | None = None  # N


def moments(features: Tensor) -> Moments:
    """Compute the moments of features [N, D]. Raises DataError for fewer than two examples."""
    if features.ndim != 2 or len(features) < 2:
        raise DataError(
            f"Moments need features [N, D] of at least two examples, got the shape {list(features.shape)}. Use"
            " more images."
        )
    features = features.double()
    mean = features.mean(dim=0)
    centred = features - mean
    return Moments(mean, centred.T @ centred / (len(features) - 1), len(features))


def frechet_distance(a: Moments, b: Moments) -> float:
    """Compute `|m_a - m_b|^2 + tr A + tr B - 2 tr (A B)^1/2` for means m and covariances A, B.

    With A = F F' and B = G G', the last trace is the sum of the singular values of F' G. Singular covariances are
    allowed.

    Raises:
        DataError: The moments have different widths or values that are not finite, a covariance is asymmetric or has
            clearly negative eigenvalues, or the result is clearly negative.
    """
    _check(a, b)
    means = (a.mean - b.mean).square().sum()
    traces = a.covariance.trace() + b.covariance.trace()
    distance = float(means + traces - 2 * _sum_of_singular_values(_factor(a.covariance).T @ _factor(b.covariance)))
    if not math.isfinite(distance) or distance < -TOLERANCE * float(means + traces):
        raise DataError(
            f"The matrix square root of the covariances failed (distance {distance}). The statistics may be damaged."
            f" {RECOMPUTE}"
        )
    return max(0.0, distance)


def small_sample(moments: Moments, what: str = "examples", advice: str = "Evaluate more images.") -> str | None:
    """Warn if a distance from these moments is biased by too few examples.

    Args:
        moments: The moments of one of the two sets.
        what: What the set consists of.
        advice: How to make the set larger, as the last sentence of the warning.

    Returns:
        The text of the Python warning that was issued, or None for enough examples or an unknown number.
    """
    count, width = moments.examples, len(moments.mean)
    if count is None or count >= PER_DIMENSION * width:
        return None
    singular = ", so that their covariance is singular" if count <= width else ""
    note = (
        f"{count} {what} are few for {width} features{singular}: the Fréchet distance is biased upwards. Compare it"
        f" only with distances from equally many examples. {advice}"
    )
    warnings.warn(note, NotedWarning, stacklevel=2)
    return note


def _factor(covariance: Tensor) -> Tensor:
    """Return F [D, r] with `covariance = F F'`, where r is the rank of the matrix."""
    lower: Tensor
    lower, failed = torch.linalg.cholesky_ex(covariance)
    if not failed:
        return lower
    values, vectors = torch.linalg.eigh(covariance)
    if values[0] < -TOLERANCE * values[-1].abs():
        raise DataError(
            f"A covariance has the negative eigenvalue {values[0]:.3g} (largest: {values[-1]:.3g}). The statistics are"
            f" damaged, or were written with too few digits. {RECOMPUTE}"
        )
    positive = values > len(values) * EPS * values[-1]
    factor: Tensor = vectors[:, positive] * values[positive].sqrt()
    return factor


def _sum_of_singular_values(matrix: Tensor) -> Tensor:
    """Sum the singular values of a matrix M.

    The square roots of the eigenvalues of `M M'` are faster to compute, but small ones lose half of their digits. If
    that error could exceed `ROUNDING`, the singular values are computed directly.
    """
    gram = matrix @ matrix.T if len(matrix) <= matrix.shape[1] else matrix.T @ matrix
    if not gram.numel():
        return matrix.new_zeros(())
    values = torch.linalg.eigvalsh(gram)
    noise = 4 * EPS * values[-1].abs()
    roots: Tensor = values.clamp(min=0).sqrt()
    error = (noise / (2 * values.clamp(min=float(noise)).sqrt())).sum()
    if noise > 0 and error > ROUNDING * roots.sum():
        roots = torch.linalg.svdvals(matrix)
    return roots.sum()


def _check(a: Moments, b: Moments) -> None:
    width = len(a.mean)
    for moments in (a, b):
        mean, covariance = moments.mean, moments.covariance
        if mean.shape != (width,) or covariance.shape != (width, width):
            raise DataError(
                f"A mean of shape {list(mean.shape)} and a covariance of shape {list(covariance.shape)} do not fit"
                f" {width} features. Use moments from the same feature extractor."
            )
        if not (mean.isfinite().all() and covariance.isfinite().all()):
            raise DataError(f"A mean or a covariance contains NaN or infinite values. {RECOMPUTE}")
        if (covariance - covariance.T).abs().max() > TOLERANCE * covariance.abs().max():
            raise DataError(f"A covariance is not symmetric: the statistics are damaged. {RECOMPUTE}")
