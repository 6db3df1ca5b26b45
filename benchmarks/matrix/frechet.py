"""The Fréchet distance of two sets of features, each taken for a Gaussian (Dowson and Landau, 1982), in float64."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Moments(NamedTuple):
    """Mean and covariance of features."""

    mean: Tensor  # [D] float64
    covariance: Tensor  # [D, D] float64


def moments(features: Tensor) -> Moments:
    """Of features [N, D], N > 1."""
    features = features.double()
    return Moments(features.mean(dim=0), features.T.cov())


def distance(a: Moments, b: Moments) -> float:
    """`|m_a - m_b|^2 + tr(A + B - 2 (A^1/2 B A^1/2)^1/2)`; 0 for equal ones, and right for singular covariances."""
    root = _root(a.covariance)
    mixed = torch.linalg.eigvalsh(root @ b.covariance @ root).clamp(min=0).sqrt().sum()  # rounding leaves some below 0
    traces = a.covariance.trace() + b.covariance.trace() - 2 * mixed
    return max(0.0, float((a.mean - b.mean).square().sum() + traces))


def _root(covariance: Tensor) -> Tensor:
    """The symmetric square root [D, D] of a symmetric matrix without negative eigenvalues."""
    values, vectors = torch.linalg.eigh(covariance)
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.T
